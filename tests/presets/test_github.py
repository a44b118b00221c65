"""Every kind of GitHub's events has attrs: the record that it is about, or all of an event without one."""

import json

import pytest

from gateway import presets
from tests.test_presets import source_of

BESIDE = {"repository": {"full_name": "example-org/hello-world"}, "sender": {"login": "octo-example"}}
#: By kind: the field that is its record; empty: all of it is.
RECORDS = {
    "branch_protection_rule": "rule",
    "check_run": "check_run",
    "check_suite": "check_suite",
    "code_scanning_alert": "alert",
    "commit_comment": "comment",
    "create": "",
    "delete": "",
    "dependabot_alert": "alert",
    "deploy_key": "key",
    "deployment": "deployment",
    "deployment_review": "workflow_run",
    "deployment_status": "deployment_status",
    "discussion": "discussion",
    "discussion_comment": "comment",
    "fork": "forkee",
    "github_app_authorization": "",
    "gollum": "",
    "installation": "",
    "installation_repositories": "",
    "issue_comment": "issue",
    "issues": "issue",
    "label": "label",
    "marketplace_purchase": "marketplace_purchase",
    "member": "member",
    "membership": "member",
    "merge_group": "merge_group",
    "meta": "hook",
    "milestone": "milestone",
    "organization": "membership",
    "org_block": "blocked_user",
    "package": "package",
    "page_build": "build",
    "ping": "hook",
    "project": "project",
    "project_card": "project_card",
    "project_column": "project_column",
    "projects_v2_item": "projects_v2_item",
    "public": "",
    "pull_request": "pull_request",
    "pull_request_review": "pull_request",
    "pull_request_review_comment": "pull_request",
    "pull_request_review_thread": "pull_request",
    "push": "head_commit",
    "release": "release",
    "repository": "",
    "repository_dispatch": "",
    "repository_import": "",
    "repository_vulnerability_alert": "alert",
    "secret_scanning_alert": "alert",
    "security_advisory": "security_advisory",
    "sponsorship": "sponsorship",
    "star": "",
    "status": "",
    "team": "team",
    "team_add": "team",
    "watch": "",
    "workflow_dispatch": "",
    "workflow_job": "workflow_job",
    "workflow_run": "workflow_run",
}
#: What some kinds have beside their record.
COMPANIONS = {
    "deployment_status": {"deployment": {"id": 2}, "workflow_run": {"id": 3}, "check_run": None},
    "deployment": {"workflow_run": {"id": 3}, "workflow": {"id": 4}},
    "workflow_job": {"deployment": {"id": 2}},
    "issue_comment": {"comment": {"id": 2}},
    "issues": {"label": {"id": 2}, "milestone": {"id": 3}},
    "discussion_comment": {"discussion": {"id": 2}},
    "membership": {"team": {"id": 2}},
    "pull_request_review": {"review": {"id": 2}},
    "push": {"commits": [], "pusher": {"name": "a"}},
    "status": {"commit": {"sha": "a"}},
    "star": {"starred_at": None},
    "workflow_dispatch": {"inputs": None, "ref": "main"},
}


def received(kind, payload):
    headers = [(b"content-type", b"application/json"), (b"x-github-event", kind.encode())]
    source = source_of("github")
    [found] = source.received(headers, json.dumps(payload).encode(), now=0.0)
    return found, source.naming.facts(found.event, found.payload)


@pytest.mark.parametrize("kind", RECORDS)
def test_attrs_are_the_record_of_an_event(kind):
    record = RECORDS[kind]
    payload = {**BESIDE, **COMPANIONS.get(kind, {}), **({record: {"id": 1}} if record else {})}
    found, facts = received(kind, payload)
    assert found.event.type == kind
    assert facts["attrs"] == ({"id": 1} if record else payload)


def test_a_push_that_deletes_a_branch_has_attrs_although_it_has_no_commit():
    payload = {**BESIDE, "ref": "refs/heads/old", "deleted": True, "head_commit": None, "commits": []}
    assert received("push", payload)[1]["attrs"]["ref"] == "refs/heads/old"


@pytest.mark.parametrize(
    "sample",
    ["workflow_run.completed", "issue_comment.created", "pull_request_review.submitted", "release.published", "ping"],
)
def test_common_kinds_have_samples(sample):
    assert sample in presets.load("github").samples
