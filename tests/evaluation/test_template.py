"""One pass, escaped by context: what a hostile name can do to a page, which is nothing."""

import doctest
import json
import re

import pytest

from mdcsrn_tf.evaluation import pictures, template
from mdcsrn_tf.evaluation.template import Html, fill, policy_for, text

PAGE = '<p title="@@name:text@@">@@name:text@@</p>@@body:html@@<script type="application/json">@@data:json@@</script>'
HOSTILE = ["@@data:json@@ onload=alert(1)", '"><script>alert(1)</script>', "</script><!--", "'; alert(1) //", "& &amp;"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_value_stays_where_it_was_put(name):
    page = fill(PAGE, {"name": name, "body": Html("<b>fine</b>"), "data": {"name": name}})
    title = re.search('title="([^"]*)"', page)[1]
    assert "<" not in title and "@@" not in title.replace("@@data:json@@", "")
    block = re.search('<script type="application/json">(.*)</script>', page)[1]
    assert json.loads(block) == {"name": name} and not set("<>&") & set(block)
    assert page.count("<script") == page.count("</script") == 1 and "<b>fine</b>" in page


def test_markup_is_only_taken_from_those_who_made_it():
    with pytest.raises(TypeError, match="only Html"):
        fill("@@body:html@@", {"body": "<b>"})
    with pytest.raises(KeyError):
        fill("@@gone:text@@", {})
    with pytest.raises(ValueError, match="no place for"):
        fill("", {"spare": 1})


def test_bytes_that_are_no_text_are_spelled_out():
    assert text(b"scan-\xff".decode("utf-8", "surrogateescape")).encode() == b"scan-\\udcff"


def test_the_policy_allows_the_pages_own_script_alone():
    import base64
    import hashlib

    page = '<script type="application/json">{}</script><script>\nlet a = 1;\n</script>'
    digest = base64.b64encode(hashlib.sha256(b"\nlet a = 1;\n").digest()).decode()
    policy = policy_for(page)
    assert policy.endswith(f"script-src 'sha256-{digest}'") and "default-src 'none'" in policy


def test_names_that_would_become_one_file_stay_apart():
    names = ["Müller_T1w", "Möller_T1w", "M_ller_T1w", "a/b", "a b", "x" * 245, "x" * 244 + "y", ".hidden", "sub-01"]
    made = [pictures.safe_name(name) for name in names]
    assert len(set(made)) == len(names) and max(map(len, made)) < 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name) for name in made)
    assert pictures.safe_name("sub-01_T1w") == "sub-01_T1w"


def test_the_examples_hold():
    for module in (template, pictures):
        assert doctest.testmod(module).failed == 0 and doctest.testmod(module).attempted
