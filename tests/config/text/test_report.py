"""Problems get their lines in a number of steps that grows with the file, however many of them are on one line."""

import pytest

from gateway.config import load
from gateway.config.text import quotes, report
from gateway.config.text.report import Report
from gateway.errors import ConfigError, Place
from gateway.hiding import addresses

ROUTES = "{version: 1, sources: {x: {preset: xobito, secret: s3cret-of-tests}}, destinations: {crm: {url: 'https://a.example'}}, routes: [%s]}"


def unknown_destinations(number):
    return ROUTES % ", ".join(f"{{name: r{each}, to: nowhere}}" for each in range(number))


def unknown_keys(number):
    return ROUTES % ", ".join(f"{{name: r{each}, to: crm, pth: /a}}" for each in range(number))


def unknown_names(number):
    return ROUTES % ", ".join(f'{{name: r{each}, to: crm, text: "{{{{ atrs.id }}}}"}}' for each in range(number))


def secrets_in_the_wrong_place(number):
    return ROUTES % ", ".join(f"{{name: r{each}, to: crm, secret: hush-hush}}" for each in range(number))


def unknown_keys_of_one_map(number):
    return ROUTES % f"{{name: r, to: crm, {', '.join(f'zz{each}: 1' for each in range(number))}}}"


class Counted:
    """Counts the characters that a function is given."""

    def __init__(self, function):
        self.function, self.characters = function, 0

    def __call__(self, text, *args, **kwargs):
        self.characters += len(text)
        return self.function(text, *args, **kwargs)


@pytest.mark.parametrize(
    "file", [unknown_destinations, unknown_keys, unknown_keys_of_one_map, unknown_names, secrets_in_the_wrong_place], ids=lambda file: file.__name__
)  # fmt: skip
def test_a_line_is_made_ready_once_for_all_of_its_problems(tmp_path, monkeypatch, file):
    counted = {
        "starred": Counted(addresses.starred),
        "_values": Counted(quotes._values),
        "_starred": Counted(report._starred),
    }
    monkeypatch.setattr(addresses, "starred", counted["starred"])
    monkeypatch.setattr(quotes, "_values", counted["_values"])
    monkeypatch.setattr(report, "_starred", counted["_starred"])
    text = file(200)
    (tmp_path / "routes.yaml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        load(tmp_path / "routes.yaml", environ={})
    assert len(refused.value.problems) == 200
    for each in counted.values():
        assert each.characters <= 4 * len(text)


def test_a_text_is_hidden_where_it_is_and_nowhere_else():
    found = Report("routes.yaml", lines=["a: hush, b: hush, c: hush"])
    found.hide(Place("routes.yaml", 1, 13), "hush")
    assert found.line(Place("routes.yaml", 1, 1)) == "a: hush, b: ****, c: hush"
    found.hide(Place("routes.yaml", 1, 4), "hush, b")
    assert found.line(Place("routes.yaml", 1, 1)) == "a: *******: ****, c: hush"


def test_texts_that_overlap_are_hidden_together():
    found = Report("routes.yaml", lines=["a: hush-hush-hush!"])
    for column, text in ((4, "hush-hush"), (9, "hush-hush"), (4, "hush-hush")):
        found.hide(Place("routes.yaml", 1, column), text)
    assert found.line(Place("routes.yaml", 1, 1)) == "a: **************!"
