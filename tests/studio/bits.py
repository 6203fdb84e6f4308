"""Numbers on a page of the studio against the record: bit for bit, and each from its operands."""

import random
from urllib.parse import parse_qs, urlsplit

from tests.inspect.element.evaluation import EPS, evaluate

from chainrule.inspect.element import Elements
from chainrule.inspect.element.parts import hex_text
from chainrule.inspect.update import Update

READ = "all => all.map(e => ({...e.dataset}))"
NAMED = {"node", "kind", "index"}
# Numbers that stand in a formula and nowhere in the record: the walk computes with them.
UNNAMED = {"constant", "more", "addend", "option", "float64"}


class Recorded:
    """recorded(node, kind, index): a number of a kept step, as Python reads it from the run.

    tape: the step itself, or one that was run again.
    """

    def __init__(self, records, step, kind="probe", tape=None):
        self.records, self.step = records, step
        self.tape = tape or records.tape(step, kind)
        self._elements = Elements(self.tape)

    def array(self, node, kind):
        held = self.tape._step
        twin = held.order[node]
        if kind == "value":
            return held.holds[twin].node.result()
        if kind == "bar":
            return held.bars[twin].numpy()
        after = self.records.read(self.step, "batch")["after"][twin.name]
        return after.numpy() - self.array(node, "value")

    def has_bar(self, node):
        return self.tape._step.order[node] in self.tape._step.bars

    def __call__(self, node, kind, index, sample=None, name=None):
        at = tuple(map(int, index.split(","))) if index else ()
        if sample is not None:  # what it alone adds to a sum over the batch: computed when asked
            return self._elements.at(int(node), kind, at, int(sample)).value
        if kind in ("value", "bar", "update"):
            return self.array(int(node), kind)[at]
        batch = self.records.tape(self.step)._step.order[int(node)]
        if kind == "initial":
            first = self.records.tape(self.records.steps()[0])
            return first[batch.name].value.numpy()[at]
        return self._updated(batch.name, kind, name).at(at)

    def _updated(self, parameter, role, name):
        """A line of the optimizer's step."""
        kept, tape = self.records.read(self.step, "batch"), self.records.tape(self.step)
        known, entry = kept["optimizer"]["parameters"][parameter], tape[parameter]
        made = Update(kept["optimizer"]["name"], entry.value.numpy(), entry.bar.numpy(),
                      known["options"], known["state"])  # fmt: skip
        (row,) = [row for row in made.rows if (row.role, row.name) == (role, name)]
        return row


def number_of(text):
    """What a number of a page stands for: float.hex, a whole number, or a truth value."""
    if text in ("true", "false"):
        return text == "true"
    return float.fromhex(text) if "x" in text or text.lstrip("-") in ("inf", "nan") else int(text)


def compare(page, exact, within="body"):
    """All numbers of the page have the bits of those that they name; how many there are."""
    found = [
        each
        for each in page.locator(f"{within} [data-value]").evaluate_all(READ)
        if each.get("kind") not in UNNAMED
    ]
    for each in found:
        assert each.keys() >= NAMED, f"{each} does not say which number it is"
        asked = {name: each[name] for name in (*NAMED, "sample", "name") if name in each}
        assert each["value"] == hex_text(exact(**asked)), each
    return len(found)


def all_numbers(page, within="main"):
    """The numbers that stand on the page, each with its place, in order."""
    return [
        (each["node"], each["kind"], each["index"], each["value"])
        for each in page.locator(f"{within} [data-value][data-node]").evaluate_all(READ)
    ]


# ---------------------------------------------------------------- walks

STARTS = "main a[data-value]:not(aside a):visible"


def placed(within, each):
    """The link to a number, as CSS says it."""
    share = each.get("sample")
    exactly = ":not([data-sample])" if share is None else f"[data-sample='{share}']"
    place = "".join(f"[data-{name}='{each[name]}']" for name in ("node", "kind", "index"))
    return f"{within} a{place}{exactly}"


class Walk:
    """Clicks on numbers by chance, from those of a page down to leaves; each is looked through.

    exact: what Python reads of the record.  ``leaves`` has the sentences where chains ended.
    """

    def __init__(self, page, exact, seed):
        self.page, self.exact, self.chance = page, exact, random.Random(seed)
        page.locator(STARTS).first.wait_for()
        self.starts = [placed("main", each) for each in page.locator(STARTS).evaluate_all(READ)]
        self.clicks, self.leaves, self.computed = 0, [], 0

    def go(self, clicks):
        """So many clicks; from a leaf it goes on at another number of the page."""
        last = self.clicks + clicks
        while self.clicks < last:
            element = self._click(
                self.page.locator(f"{self.chance.choice(self.starts)}:visible").first
            )
            while not element["leaf"] and self.clicks < last:
                operands = self.page.locator("aside .terms a")
                count = operands.count()
                assert count, f"a chain ends without a leaf: {self.page.url}"
                element = self._click(operands.nth(self.chance.randrange(count)))
            if element["leaf"]:
                self.leaves.append(element["leaf"])
            self.page.locator("aside .close").press("Enter")
            self.page.locator("aside").wait_for(state="detached")

    def _click(self, link):
        """What the drawer says after a click on a number, and it has been looked through."""
        (number,) = parse_qs(urlsplit(link.get_attribute("href")).query)["number"]
        node, kind, index, *share = number.split(".")

        def is_its(answer):
            asked = {name: text for name, (text,) in parse_qs(urlsplit(answer.url).query).items()}
            place = asked.get("node"), asked.get("what"), asked.get("index", "")
            return "/element?" in answer.url and place == (node, kind, index)

        with self.page.expect_response(is_its) as answer:
            link.click()
        self.clicks += 1
        element = answer.value.json()
        place = {"node": node, "kind": kind, "index": index, "sample": share[0] if share else None}
        self.page.locator(placed("aside .number", place)).wait_for()
        self._look_through(element)
        return element

    def _look_through(self, element):
        """The bits are those of the record, and the number follows from what the drawer shows."""
        assert compare(self.page, self.exact, "aside")
        eps = EPS.get(element["what"]["dtype"], 0.0)
        value = number_of(self.page.locator("aside .number a").get_attribute("data-value"))
        if element["float64"] is not None and not element["leaf"]:
            part = with_operands(element["part"], self._shown("aside .terms >> nth=0"))
            computed, error = evaluate(part, eps)
            bound = error + eps * abs(computed) + 1e-37
            assert abs(computed - value) <= bound, (self.page.url, computed, value)
            told = self.page.locator("aside [data-kind=float64]").get_attribute("data-value")
            assert abs(number_of(told) - computed) <= bound
            self.computed += 1
        sent = self.page.locator("aside [data-kind=addend]").evaluate_all(READ)
        if sent:
            addends = [number_of(each["value"]) for each in sent]
            assert abs(sum(addends) - value) <= len(addends) * eps * sum(map(abs, addends))

    def _shown(self, where):
        return self.page.locator(where).locator("[data-value]").evaluate_all(READ)


def with_operands(part, shown):
    """The tree of a formula with the numbers that the page shows, which stand in its order."""
    operands = iter(shown)

    def filled(part):
        if part.get("link") or not part.get("parts"):
            operand = next(operands)
            if link := part.get("link"):
                place = (str(link["node"]), link["kind"], ",".join(map(str, link["index"])))
                assert (operand["node"], operand["kind"], operand["index"]) == place
            return part | {"value": number_of(operand["value"])}
        whole = part | {"parts": [filled(inner) for inner in part["parts"]]}
        if "more" in part:
            whole["more"] = part["more"] | {"value": number_of(next(operands)["value"])}
        return whole

    found = filled(part)
    assert next(operands, None) is None, "the page shows a number that is not in the formula"
    return found
