"""Files that another one includes."""

from tests.config.given import event, plan, problems_of


def test_included_files_are_one_configuration_with_the_file(loaded, tmp_path):
    (tmp_path / "routes.d").mkdir()
    (tmp_path / "routes.d" / "b.yaml").write_text("routes: [{name: b, to: log}]")
    (tmp_path / "routes.d" / "a.yaml").write_text(
        "destinations: {own: {type: file, path: x}}\nroutes: [{name: a, to: own}]"
    )
    text = "include: routes.d/*.yaml\nroutes: [{name: main, to: log}]"
    config = loaded(text)
    assert [route for route, _ in plan(config, event())] == ["main", "a", "b"]
    (tmp_path / "routes.d" / "b.yaml").write_text("routes: [{name: b, to: log, text: hi}]")
    assert loaded(text).revision != config.revision


def test_a_link_may_lead_elsewhere_in_the_folder_and_not_out_of_it(loaded, tmp_path):
    outside = tmp_path.parent / f"{tmp_path.name}-outside.yaml"
    outside.write_text("routes: [{name: more, to: log}]\n")
    (tmp_path / ".data").mkdir()
    (tmp_path / ".data" / "in.yaml").write_text("routes: [{name: more, to: log}]\n")
    (tmp_path / "more.yaml").symlink_to(".data/in.yaml")
    assert loaded("include: more.yaml").routes == 1
    (tmp_path / "more.yaml").unlink()
    (tmp_path / "more.yaml").symlink_to(outside)
    printed = problems_of(lambda: loaded("include: [more.yaml]"))
    assert 'include: "more.yaml" is a link that leads outside this file\'s folder' in printed


def test_what_is_not_set_names_the_included_file(loaded, tmp_path):
    (tmp_path / "more.yaml").write_text("routes:\n  - {name: a, to: log, where: {attrs.a: '${GONE}'}}")
    printed = problems_of(lambda: loaded("include: more.yaml"))
    assert "not set: GONE (more.yaml:2)" in printed
