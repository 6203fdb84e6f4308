import chainrule as cr
import chainrule.nn as nn

cr.manual_seed(0)
x = cr.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
t = cr.tensor([[0.0], [1.0], [1.0], [0.0]])
model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Sigmoid())
optimizer = cr.optim.Adam(model.parameters(), lr=0.05)
for _ in range(300):
    optimizer.zero_grad()
    loss = nn.functional.binary_cross_entropy(model(x), t)
    loss.backward()
    optimizer.step()
print("loss", f"{loss.item():.4f}", " XOR", model(x).round().flatten().int().tolist())
