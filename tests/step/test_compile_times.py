"""A compilation that takes long says so on stderr, with its signature and its reason."""

import chainrule as cr
from chainrule.run import backend


def lines(capsys):
    out, errors = capsys.readouterr()
    assert out == ""
    return [line.partition(" in ") for line in errors.splitlines()]


def test_a_long_compilation_is_told(monkeypatch, capsys):
    monkeypatch.setattr(backend, "LONG", 0.0)
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    optimizer = cr.optim.SGD([w], lr=0.25, momentum=0.5)

    @cr.compile
    def twice(x, y=None):
        optimizer.zero_grad()
        loss = (w * x).sum()
        loss.backward()
        optimizer.step()
        return loss

    twice(cr.zeros(2))  # its momentum begins
    assert [what for what, _, _ in lines(capsys)] == ["chainrule: compiled twice(f32[2])"]
    twice(cr.zeros(2))
    ((what, _, why),) = lines(capsys)
    assert what == "chainrule: compiled twice(f32[2])"
    assert why.endswith(" s: the parameters or state of SGD changed")
    twice(cr.zeros(2))
    assert lines(capsys) == []
    twice(cr.zeros(3, 2))
    ((what, _, why),) = lines(capsys)
    assert what == "chainrule: compiled twice(f32[3,2])"
    assert why.endswith(" s: the shapes, dtypes or values of its arguments changed")


def test_a_short_one_is_not(monkeypatch, capsys):
    monkeypatch.setattr(backend, "LONG", 1e9)
    assert cr.compile(lambda x: x + x)(cr.ones(2)).tolist() == [2.0, 2.0]
    assert lines(capsys) == []
    monkeypatch.setattr(backend, "LONG", 0.0)
    assert cr.compile(lambda x: x - x)(cr.ones(2)).tolist() == [0.0, 0.0]
    ((what, _, why),) = lines(capsys)
    assert what == "chainrule: compiled <lambda>(f32[2])" and why.endswith(" s: its first call")
