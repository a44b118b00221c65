"""Templates to render with the event of given."""

import pytest

from gateway.destinations import slack
from gateway.destinations.escapes import no_escape
from gateway.model import Json
from gateway.render import Templates, TemplateText
from tests.render.given import FACTS, HERE, ROOTS


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "templates" / "slack").mkdir(parents=True)
    return tmp_path / "templates"


@pytest.fixture
def templates(folder):
    return Templates(folder, roots=ROOTS)


@pytest.fixture
def text(templates):
    return lambda source, escape=slack.escape: templates.text(TemplateText(source, HERE), escape)(FACTS).text


@pytest.fixture
def leaf(templates):
    return lambda source, escape=no_escape: templates.tree(TemplateText(source, HERE), escape)(FACTS).value


@pytest.fixture
def json_file(templates, folder):
    def render(source, escape=no_escape, facts=FACTS):
        (folder / "case.json.j2").write_text(source)
        content = templates.file("case.json.j2", HERE, escape)(facts)
        assert isinstance(content, Json)
        return content.value

    return render
