"""Who may do what: the walk through the route table, keys and scopes, one site's comments, sign-in and its limits."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.routing import Rule

from service import auth, create_app, database
from service.tables import api_keys, comments, moderators, utc_now

from ..conftest import KIND, Site, csrf, decide_pending, problem

PASSWORD = "a long password"


def routes(app: Flask, kind: str) -> Iterator[tuple[Rule, str]]:
    """Every route of one kind of access, with each of its methods."""
    for rule in app.url_map.iter_rules():
        if app.view_functions[rule.endpoint].access.kind == kind:
            for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
                yield rule, method


def address(rule: Rule, comment_id: str = "019ac0de-0000-7000-8000-000000000000", article: str = "17") -> str:
    values = {"comment_id": comment_id, "article": article, "filename": "copydesk.css"}
    assert set(rule.arguments) <= set(values), "a new kind of argument: say here how it is filled"
    path = rule.rule
    for part in ("<uuid:comment_id>", "<reference:article>", "<path:filename>"):
        path = path.replace(part, values[part.strip("<>").partition(":")[2]])
    assert "<" not in path
    return path


def test_every_view_states_its_access(app: Flask) -> None:
    """Nobody adds a route without saying who may use it; a public one says why."""
    views = {rule.endpoint: app.view_functions[rule.endpoint] for rule in app.url_map.iter_rules()}

    assert [] == [endpoint for endpoint, view in views.items() if not hasattr(view, "access")]
    assert {"key", "moderator", "public"} == {view.access.kind for view in views.values()}
    assert [] == [endpoint for endpoint, view in views.items()
                  if view.access.kind == "public" and not view.access.detail.endswith(".")]
    assert [] == [endpoint for endpoint, view in views.items()
                  if view.access.kind == "key" and view.access.detail not in auth.SCOPES]


def test_without_the_demo_nothing_public_is_about_a_comment(settings: dict[str, Any]) -> None:
    """In production the public routes are the sign-in, the docs, the health, the style sheets and the way there."""
    app = create_app(**settings | {"DEMO": False})

    assert {("/", "GET"), ("/desk/sign-in", "GET"), ("/desk/sign-in", "POST"), ("/docs", "GET"),
            ("/openapi.json", "GET"), ("/health", "GET"), ("/static/<path:filename>", "GET")} == {
        (rule.rule, method) for rule, method in routes(app, "public")}
    app.extensions["engine"].dispose()
    app.extensions["redis"].close()


def test_a_key_route_without_a_valid_key(app: Flask, client: FlaskClient, site: Site) -> None:
    """401 without a key, with a wrong one, a cut one, one in another scheme, and a revoked one."""
    key_id, revoked = site.key.split("_")[1], auth.add_key(site.id)
    with database.writing() as connection:
        connection.execute(update(api_keys).where(api_keys.c.id == revoked.split("_")[1]).values(revoked_at=utc_now()))
    wrong = {
        "none": {}, "empty": {"Authorization": ""}, "no key": {"Authorization": "Bearer"},
        "another secret": {"Authorization": f"Bearer cd_{key_id}_{'a' * 43}"},
        "another id": {"Authorization": f"Bearer cd_{'0' * 16}_{site.key.split('_', 2)[2]}"},
        "cut": {"Authorization": f"Bearer {site.key[:-1]}"}, "longer": {"Authorization": f"Bearer {site.key}a"},
        "no secret": {"Authorization": f"Bearer cd_{key_id}_"}, "not ours": {"Authorization": "Bearer sk-123"},
        "another scheme": {"Authorization": f"Basic {site.key}"}, "without a scheme": {"Authorization": site.key},
        "elsewhere": {"X-Api-Key": site.key}, "revoked": {"Authorization": f"Bearer {revoked}"},
    }
    walked = list(routes(app, "key"))
    for rule, method in walked:
        for name, headers in wrong.items():
            answer = client.open(address(rule), method=method, json=KIND, headers=headers)
            assert 401 == answer.status_code, (rule, method, name)
            assert problem(answer, 401)
            assert "Bearer" in answer.headers["WWW-Authenticate"]
    assert len(walked) >= 5


def test_a_key_route_with_a_key_that_lacks_its_scope(app: Flask, client: FlaskClient, site: Site) -> None:
    """403 that names the scope, with a key that may do everything else; and not 403 with one that may do only that."""
    for rule, method in routes(app, "key"):
        scope = app.view_functions[rule.endpoint].access.detail
        others = auth.add_key(site.id, [each for each in auth.SCOPES if each != scope])
        only = auth.add_key(site.id, [scope])

        refused = client.open(address(rule), method=method, json=KIND, headers={"Authorization": f"Bearer {others}"})
        let_in = client.open(address(rule), method=method, json=KIND, headers={"Authorization": f"Bearer {only}"})

        assert scope in problem(refused, 403)["detail"]
        assert let_in.status_code in (200, 202, 404, 422), (rule, method)


def test_a_moderator_route_leads_to_the_sign_in(app: Flask, client: FlaskClient, site: Site) -> None:
    """Also with a site's key, which is not a person, and with a session that somebody made up."""
    walked = list(routes(app, "moderator"))
    for rule, method in walked:
        for headers in ({}, site.headers, {"Cookie": "copydesk=eyJtb2RlcmF0b3JfaWQiOiIxIn0.aSV5Vw.c2lnbmF0dXJl"}):
            answer = client.open(address(rule), method=method, headers=headers)
            assert 302 == answer.status_code, (rule, method)
            assert answer.headers["Location"].startswith("/desk/sign-in"), (rule, method)
    assert len(walked) >= 3


def test_a_moderator_route_that_posts_needs_the_form_s_token(app: Flask, moderator: FlaskClient) -> None:
    """A form that another site makes a signed-in moderator's browser send is refused, and nothing is done."""
    for rule, method in routes(app, "moderator"):
        if method != "GET":
            for data in ({}, {"csrf_token": ""}, {"csrf_token": "guessed"}):
                answer = moderator.open(address(rule), method=method,
                                        data=data | {"decision": "approve", "revision": 1, "status": "flagged"})
                assert 403 == answer.status_code, (rule, data)
    assert 200 == moderator.get("/desk").status_code


def test_no_get_route_changes_anything(app: Flask, moderator: FlaskClient, site: Site) -> None:
    """A browser that fetches links ahead, or a mail client, decides nothing."""
    moderator.post("/v1/comments", json=KIND, headers=site.headers)
    decide_pending(0.7)
    with database.reading() as connection:
        before = connection.execute(select(comments)).all()
    for kind in ("key", "moderator"):
        for rule, method in routes(app, kind):
            if method == "GET":
                answer = moderator.get(address(rule, before[0].id), headers=site.headers)
                assert 200 == answer.status_code, rule
    with database.reading() as connection:
        assert before == connection.execute(select(comments)).all()


def test_one_site_s_key_never_reaches_another_site_s_comments(app: Flask, client: FlaskClient, site: Site,
                                                              other_site: Site) -> None:
    """On every route: not seen, not changed, not even known to exist; while the site's own key does reach them."""
    secret = "A text that only its own site may read."
    ids = {}
    for status, toxicity in (("published", 0.1), ("flagged", 0.7)):
        ids[status] = client.post("/v1/comments", json=KIND | {"comment": secret}, headers=site.headers).json["id"]
        decide_pending(toxicity)
    before = _all_comments()
    bodies = [KIND | {"parent_id": ids["published"]}, {"decision": "reject", "revision": 1},
              {"decision": "approve", "revision": 1, "status": "published"}]
    reached = set()
    for rule, method in routes(app, "key"):
        for comment_id in ids.values():
            for body in bodies:
                sent = {"method": method, "json": body if method == "POST" else None}
                theirs = client.open(address(rule, comment_id), headers=other_site.headers, **sent)
                assert theirs.status_code in ({404, 422} if "comment_id" in rule.arguments or method == "POST"
                                              else {200}), (rule, method)
                for told in (secret, *ids.values()):
                    assert told not in theirs.text, (rule, method)
    assert before == _all_comments()

    for rule, method in routes(app, "key"):
        ours = [client.open(address(rule, comment_id), method=method, headers=site.headers,
                            json=bodies[1] if method == "POST" else None) for comment_id in ids.values()]
        if any(secret in answer.text for answer in ours):
            reached.add(rule.rule)
    assert {"/v1/comments/<uuid:comment_id>", "/v1/articles/<reference:article>/comments", "/v1/queue",
            "/v1/comments/<uuid:comment_id>/decision"} == reached


def _all_comments() -> list[Any]:
    with database.reading() as connection:
        return connection.execute(select(comments).order_by(comments.c.id)).all()


def test_references_of_another_site_tell_nothing(client: FlaskClient, site: Site, other_site: Site) -> None:
    """Another site's Idempotency-Key and site_ref are free."""
    sent = {"json": KIND | {"site_ref": "7"}}
    first = client.post("/v1/comments", headers=site.headers | {"Idempotency-Key": "k"}, **sent)
    second = client.post("/v1/comments", headers=other_site.headers | {"Idempotency-Key": "k"}, **sent)

    assert [202, 202] == [first.status_code, second.status_code]
    assert first.json["id"] != second.json["id"]
    assert "Idempotency-Replayed" not in second.headers


# ---------------------------------------------------------------------------------------------- keys


def test_a_key_s_secret_is_not_kept(site: Site) -> None:
    """Who reads the database cannot use the keys."""
    with database.reading() as connection:
        (row,) = connection.execute(select(api_keys)).all()

    assert site.key.split("_", 2)[2] not in str(tuple(row))
    assert row.id == auth.find_key(site.key).id


def test_scopes_that_there_are_not(site: Site) -> None:
    """A key is not made for a scope that was mistyped."""
    with pytest.raises(ValueError, match="comments:write"):
        auth.add_key(site.id, ["comments:wirte"])


def test_a_site_s_name_is_its_own(site: Site) -> None:
    """Two sites of one name could not be told apart; to ensure one that is there finds it."""
    with pytest.raises(ValueError, match="The Harbour Post"):
        auth.add_site("The Harbour Post")
    assert site.id == auth.ensure_site("The Harbour Post") == auth.find_site("The Harbour Post")
    assert auth.find_site("The Hill Gazette") is None


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_s_case_does_not_matter(client: FlaskClient, site: Site, scheme: str) -> None:
    """RFC 9110, section 11.1."""
    assert 200 == client.get("/v1/queue", headers={"Authorization": f"{scheme}  {site.key} "}).status_code


# ---------------------------------------------------------------------------------------------- moderators


def sign_in(client: FlaskClient, email: str = "mo@news.example", password: str = PASSWORD, **fields: str) -> Any:
    return client.post("/desk/sign-in", data={"csrf_token": csrf(client), "email": email, "password": password}
                       | fields)


@pytest.fixture
def _mo(app: Flask) -> None:
    auth.add_moderator(" Mo@News.example", PASSWORD)


@pytest.mark.usefixtures("_mo")
class TestSignIn:
    """A moderator who is at mo@news.example."""

    @pytest.mark.parametrize("email", ["mo@news.example", "MO@NEWS.EXAMPLE", " mo@news.example "])
    def test_a_moderator_signs_in(self, client: FlaskClient, email: str) -> None:
        """However they type their address; and is then at the desk, until they sign out."""
        answer = sign_in(client, email)

        assert (302, "/desk") == (answer.status_code, answer.headers["Location"])
        assert 200 == client.get("/desk").status_code
        with client.session_transaction() as session:
            token = session.setdefault("csrf_token", "token")
        assert "/desk/sign-in" in client.post("/desk/sign-out", data={"csrf_token": token}).headers["Location"]
        assert 302 == client.get("/desk").status_code

    @pytest.mark.parametrize(("email", "password"), [
        ("mo@news.example", "another password"), ("nobody@news.example", PASSWORD), ("", ""), ("mo@news.example", ""),
        ("mo@news.example", PASSWORD + " "), ("mo@news.example", PASSWORD.upper()), ("mo@news.example\0", PASSWORD),
        ("mo@news.example", "\0"), ("%", PASSWORD)])
    def test_who_is_not_let_in(self, client: FlaskClient, email: str, password: str) -> None:
        """401 with one sentence for all of them, so that nobody learns who has an account."""
        answer = sign_in(client, email, password)

        assert 401 == answer.status_code
        assert "That is not right." in answer.text
        assert 302 == client.get("/desk").status_code

    def test_guessing_is_slow(self, client: FlaskClient) -> None:
        """Five tries, then not even the right password for a minute; then one try a minute."""
        for _ in range(5):
            assert 401 == sign_in(client, password="wrong").status_code
        assert 401 == sign_in(client).status_code

        _minute_passes()
        assert 401 == sign_in(client, password="wrong").status_code
        assert 401 == sign_in(client).status_code
        _minute_passes()
        assert 302 == sign_in(client).status_code

    def test_a_few_mistakes_are_forgotten(self, client: FlaskClient) -> None:
        """Who gets in after four mistakes has five tries again, and nobody else is kept out by them."""
        auth.add_moderator("other@news.example", PASSWORD)
        for _ in range(3):
            for _ in range(4):
                assert 401 == sign_in(client, password="wrong").status_code
            assert 302 == sign_in(client).status_code
            assert 302 == sign_in(client, "other@news.example").status_code

    @pytest.mark.parametrize(("target", "expected"), [
        pytest.param("/desk?cursor=abc", "/desk?cursor=abc", id="where the moderator was going"),
        pytest.param("", "/desk", id="nowhere in particular"),
        pytest.param("https://evil.example/desk", "/desk", id="another host"),
        pytest.param("//evil.example/desk", "/desk", id="another host, without the scheme"),
        pytest.param("/\\evil.example/desk", "/desk", id="another host, by a backslash"),
        pytest.param("/desk\\@evil.example", "/desk", id="a backslash anywhere"),
        pytest.param("javascript:alert(1)//desk", "/desk", id="a script"),
        pytest.param("/v1/queue", "/desk", id="what is not the desk"),
        pytest.param("//[", "/desk", id="no address at all"),
        pytest.param("https://[::1", "/desk", id="a bracket that is not closed"),
    ])
    def test_the_way_on(self, client: FlaskClient, target: str, expected: str) -> None:
        """The sign-in leads on to our own pages only."""
        answer = sign_in(client, next=target)

        assert (302, expected) == (answer.status_code, answer.headers["Location"])

    def test_the_way_on_is_remembered(self, client: FlaskClient) -> None:
        """Who is sent to the sign-in comes back to where they were going."""
        where = client.get("/desk?cursor=a%26b").headers["Location"]
        page = client.get(where).text

        assert 'value="/desk?cursor=a%26b"' in page

    def test_the_sign_in_needs_its_token(self, client: FlaskClient) -> None:
        """Nobody signs a moderator in from another site."""
        for token in ({}, {"csrf_token": "guessed"}):
            answer = client.post("/desk/sign-in", data={"email": "mo@news.example", "password": PASSWORD} | token)
            assert 403 == answer.status_code
        assert 302 == client.get("/desk").status_code

    def test_the_session_is_new_after_the_sign_in(self, client: FlaskClient) -> None:
        """What someone planted in the browser before is gone."""
        with client.session_transaction() as session:
            session["csrf_token"] = session["planted"] = "planted"
        client.post("/desk/sign-in", data={"csrf_token": "planted", "email": "mo@news.example", "password": PASSWORD})
        with client.session_transaction() as session:
            assert session["moderator_id"]
            assert {"planted"}.isdisjoint(session.values())

    def test_a_moderator_who_is_gone_is_signed_out(self, client: FlaskClient) -> None:
        """A session outlives nobody."""
        sign_in(client)
        with database.writing() as connection:
            connection.execute(moderators.delete())

        assert 302 == client.get("/desk").status_code

    def test_a_password_is_set_anew(self, client: FlaskClient) -> None:
        """The new one fits, the old one does not, however the address is typed."""
        auth.set_password("MO@news.example", "another long password")

        assert 401 == sign_in(client).status_code
        assert 302 == sign_in(client, password="another long password").status_code

    def test_a_moderator_s_address_is_their_own(self) -> None:
        """In any spelling."""
        with pytest.raises(ValueError, match="already"):
            auth.add_moderator("MO@news.example", PASSWORD)

    def test_a_password_is_not_kept(self) -> None:
        """Only a slow hash is."""
        with database.reading() as connection:
            (row,) = connection.execute(select(moderators)).all()

        assert PASSWORD not in str(tuple(row))
        assert row.password_hash.startswith(("scrypt:", "pbkdf2:"))


def _minute_passes() -> None:
    with database.writing() as connection:
        until = connection.scalar(select(moderators.c.next_sign_in_at))
        assert timedelta(seconds=50) < until - utc_now() <= timedelta(seconds=60)
        connection.execute(update(moderators).values(next_sign_in_at=utc_now() - timedelta(seconds=1)))


@pytest.mark.parametrize("password", ["", "ninechars"])
def test_a_password_that_is_too_short(app: Flask, password: str) -> None:
    """Ten characters are the least."""
    with pytest.raises(ValueError, match="at least 10"):
        auth.add_moderator("mo@news.example", password)


@pytest.mark.parametrize("secure", [True, False])
def test_the_cookie(settings: dict[str, Any], secure: bool) -> None:
    """Scripts cannot read it, other sites' forms do not send it, and over https only unless that is switched off."""
    app = create_app(**settings | {"SECURE_COOKIES": secure})
    cookie = app.test_client().get("/desk/sign-in").headers["Set-Cookie"]

    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert secure == ("Secure" in cookie)
    app.extensions["redis"].close()


def test_every_answer_carries_the_headers_that_protect(app: Flask, moderator: FlaskClient) -> None:
    """Pages, JSON and errors alike: nothing foreign runs, nothing frames us."""
    for path in ("/desk", "/desk/sign-in", "/docs", "/health", "/v1/queue", "/nothing", "/demo"):
        headers = moderator.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "nosniff" == headers["X-Content-Type-Options"]


