"""Variables as other programs write them are told from texts that only look like them."""

import pytest

from gateway.config.text.variables import in_url, named_anywhere, named_unrendered


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("$API_KEY", "API_KEY"),
        ("%API_KEY%", "API_KEY"),
        ("{{ env.api_key }}", "API_KEY"),
        ("<your api key>", "YOUR_API_KEY"),
        ("Bearer {{ API_KEY }}", "API_KEY"),
        ("<AWS_S3_KEY>", "AWS_S3_KEY"),
        ("a<API_KEY>b", ""),
        ("$2b$12$abcdefgh", ""),
        ("p%20w%", ""),
        ("{{ API_KEY", ""),
    ],
)
def test_a_text_that_is_a_variable_as_a_whole_is_one(text, name):
    assert named_unrendered(text) == name


@pytest.mark.parametrize("text", ["<hunter2>", "{{ sk_live_51h8 }}", "Bearer <p4ss>", "get('k3y')"])
def test_a_name_that_could_be_the_secret_itself_is_not_repeated(text):
    assert named_unrendered(text) == "NAME"


@pytest.mark.parametrize("text", ["<API_KEY>", "{{ API_KEY }}", "Bearer $API_KEY", "$HOME is home", "costs $5"])
def test_a_text_for_people_is_no_variable(text):
    assert named_anywhere(text) == ""


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://%CRM_HOST%/x", "CRM_HOST"),
        ("https://crm.example.com/$TENANT/x", "TENANT"),
        ("https://crm.example.com/<ID>", "ID"),
        ("https://crm.example.com/{{ ID }}", "ID"),
        ("https://crm.example.com/%BASE%", "BASE"),
        ("https://crm.example.com/a%20b/%41%42", ""),
        ("https://crm.example.com/M%C3%BCLLER%20GMBH", ""),
        ("https://crm.example.com/?q=%AFOO%3d", ""),
        ("https://crm.example.com/odata?$filter=a&$top=1", ""),
        ("https://crm.example.com/$metadata?price=$$USD", ""),
    ],
)
def test_a_url_may_have_encoded_characters_and_dollar_signs(url, name):
    assert in_url(url) == name
