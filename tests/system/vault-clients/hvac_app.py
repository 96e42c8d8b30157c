"""What an application does with hvac, in an old version or in a new one. Its argument is the name that it may create."""

import inspect
import os
import sys
import warnings
from importlib.metadata import version

import hvac
from hvac import exceptions

# A new one announces another default for what is deleted, which there is not here.
warnings.simplefilter("ignore")
old, new = int(os.environ["OLD"]), int(os.environ["NEW"])
mine = sys.argv[1]


def client(name):
    return hvac.Client(url=os.environ["VAULT_ADDR"], token=os.environ[name.upper() + "_TOKEN"])


def refused(error, words, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except error as refusal:
        assert words in str(refusal), f"{words!r} is not in {refusal!r}"
    else:
        raise AssertionError(f"{call.__name__}{arguments} is not refused")


app, deploy, nothing = client("app"), client("deploy"), client("nothing")
kv, change = app.secrets.kv.v2, deploy.secrets.kv.v2

# It starts.
assert app.is_authenticated()
assert not hvac.Client(url=os.environ["VAULT_ADDR"], token="jst_wrong").is_authenticated()
assert app.sys.is_initialized() and not app.sys.is_sealed()
assert app.sys.read_health_status(method="GET")["sealed"] is False
assert app.sys.read_health_status().status_code == 200
assert app.sys.read_leader_status()["is_self"] is True
assert "secret/" in app.sys.list_mounted_secrets_engines()
assert app.auth.token.lookup_self()["data"]["policies"] == ["app"]

# It reads.
answer = kv.read_secret_version("app_password")
assert answer["data"]["data"] == {"value": 'correct horse "ö"'}, answer
assert answer["data"]["metadata"]["version"] == new, answer
assert kv.read_secret_version("app_password", version=old)["data"]["data"]["value"] == "the first"
assert kv.read_secret_version("team/db/user")["data"]["data"]["value"] == "the value of team.db.user"
assert kv.read_secret_version("team.db.user")["data"]["data"]["value"] == "the value of team.db.user"
assert kv.read_secret_version("app_account")["data"]["data"] == {"value": '{"type":"service_account"}'}
assert app.read("secret/data/app_password")["data"]["metadata"]["version"] == new
assert app.read("secret/data/app_missing") is None
assert app.secrets.kv.v1.read_secret("app_password", mount_point="kv")["data"] == {"value": 'correct horse "ö"'}
assert kv.read_configuration()["data"]["cas_required"] is False
metadata = kv.read_secret_metadata("app_password")["data"]
assert metadata["current_version"] == new and set(metadata["versions"]) == {str(old), str(new)}, metadata

# It lists.
everything = kv.list_secrets("")["data"]["keys"]
assert {"app_account", "app_password", "team.db.user"} <= set(everything) and "other_secret" not in everything, everything
assert kv.list_secrets("team")["data"]["keys"] == ["db/", "web"]
assert kv.list_secrets("team/db")["data"]["keys"] == ["password", "user"]
assert app.list("secret/metadata/team/db")["data"]["keys"] == ["password", "user"]
assert app.secrets.kv.v1.list_secrets("team", mount_point="kv")["data"]["keys"] == ["db/", "web"]

# What is not there is told from what it may not read, and from what nobody may know.
for missing in "app_missing", "team/none":
    refused(exceptions.InvalidPath, "", kv.read_secret_version, missing)
refused(exceptions.InvalidPath, "", kv.read_secret_version, "app_password", version=987654)
refused(exceptions.InvalidPath, "", kv.list_secrets, "app_missing")
if "raise_on_deleted_version" in inspect.signature(kv.read_secret_version).parameters:
    refused(exceptions.InvalidPath, "", kv.read_secret_version, "app_missing", raise_on_deleted_version=False)
for forbidden in "other_secret", "other_missing":
    refused(exceptions.Forbidden, "permission denied", kv.read_secret_version, forbidden)
refused(exceptions.Forbidden, "permission denied", nothing.secrets.kv.v2.read_secret_version, "app_password")
refused(exceptions.InvalidPath, "", nothing.secrets.kv.v2.list_secrets, "")
refused(exceptions.Forbidden, "permission denied", kv.create_or_update_secret, mine, {"value": "mine"})
refused(exceptions.Forbidden, "permission denied", kv.delete_metadata_and_all_versions, "app_password")
refused(exceptions.InvalidPath, "no handler for route", app.secrets.kv.v2.read_secret_version, "a", mount_point="other")
refused(exceptions.InvalidRequest, "is neither empty nor has a dot", kv.read_secret_version, "team/db.user")

# It stores, on conditions; a version number is never used again.
first = change.create_or_update_secret(mine, {"value": "mine"}, cas=0)["data"]["version"]
assert first > new
refused(exceptions.InvalidRequest, "check-and-set parameter", change.create_or_update_secret, mine, {"value": "x"}, cas=0)
refused(exceptions.InvalidRequest, "check-and-set parameter", change.create_or_update_secret, mine, {"value": "x"}, cas=new)
second = change.create_or_update_secret(mine, {"user": "u", "ports": [1, 2]}, cas=first)["data"]["version"]
assert second > first
assert kv.read_secret_version(mine)["data"]["data"] == {"user": "u", "ports": [1, 2]}
assert kv.read_secret_version(mine, version=first)["data"]["data"] == {"value": "mine"}, "a text is one, also behind a map"
change.patch(mine, {"password": "p"})
assert kv.read_secret_version(mine)["data"]["data"] == {"user": "u", "ports": [1, 2], "password": "p"}
refused(exceptions.InvalidPath, "patch only works on existing data", change.patch, mine + "_missing", {"a": "b"})
refused(exceptions.InvalidRequest, "no data provided", change.create_or_update_secret, mine, {})
deploy.secrets.kv.v1.create_or_update_secret(mine, {"value": "by v1"}, mount_point="kv")
assert kv.read_secret_version(mine)["data"]["data"] == {"value": "by v1"}
assert deploy.write(f"secret/data/{mine}", data={"value": "by write"})["data"]["version"] > second
if "custom_metadata" in inspect.signature(change.update_metadata).parameters:
    change.update_metadata(mine, custom_metadata={"owner": "web"})
    assert kv.read_secret_metadata(mine)["data"]["custom_metadata"] == {"owner": "web"}
refused(exceptions.InvalidRequest, "grace period", change.update_metadata, mine, max_versions=5)

# Nothing is deleted that it takes to be recoverable; what is deleted with its metadata is gone.
refused(exceptions.InvalidRequest, "nothing was deleted", change.delete_latest_version_of_secret, mine)
for call in change.delete_secret_versions, change.undelete_secret_versions, change.destroy_secret_versions:
    refused(exceptions.InvalidRequest, "nothing was changed", call, mine, versions=[first])
change.delete_metadata_and_all_versions(mine)
change.delete_metadata_and_all_versions(mine)
refused(exceptions.InvalidPath, "", kv.read_secret_version, mine)
deploy.secrets.kv.v1.create_or_update_secret(mine, {"value": "again"}, mount_point="kv")
deploy.secrets.kv.v1.delete_secret(mine, mount_point="kv")
refused(exceptions.InvalidPath, "", kv.read_secret_version, mine)

# Its token goes on.
assert app.auth.token.renew_self()["auth"]["client_token"] == os.environ["APP_TOKEN"]
refused(exceptions.InvalidRequest, "nothing was revoked", app.auth.token.revoke_self)
other = hvac.Client(url=os.environ["VAULT_ADDR"])
refused(exceptions.Forbidden, "permission denied", other.secrets.kv.v2.read_secret_version, "app_password")
other.auth.approle.login(role_id="app", secret_id=os.environ["APP_TOKEN"])
assert other.secrets.kv.v2.read_secret_version("app_password")["data"]["metadata"]["version"] == new
refused((exceptions.Forbidden, exceptions.InvalidRequest), "", other.auth.approle.login, "deploy", os.environ["APP_TOKEN"])

# What a CI job and a pod have anyway is enough for a login.
job = hvac.Client(url=os.environ["VAULT_ADDR"])
for role in "ci", None:
    job.token = job.auth.jwt.jwt_login(role=role, jwt=os.environ["CI_JWT"])["auth"]["client_token"]
    assert job.auth.token.lookup_self()["data"]["meta"] == {"client": "ci"}
    assert job.secrets.kv.v2.read_secret_version("app_password")["data"]["metadata"]["version"] == new
refused(exceptions.Forbidden, "permission denied", job.secrets.kv.v2.read_secret_version, "team/web")
refused(exceptions.Forbidden, "permission denied", job.auth.jwt.jwt_login, role="app", jwt=os.environ["CI_JWT"])
refused(exceptions.Forbidden, "permission denied", job.auth.jwt.jwt_login, role="ci", jwt=os.environ["OTHER_JWT"])
with open(os.environ["POD_JWT_FILE"]) as file:
    job.auth.kubernetes.login(role="pod", jwt=file.read())
assert job.auth.token.lookup_self()["data"]["policies"] == ["pod"]
assert job.secrets.kv.v2.read_secret_version("app_password")["data"]["metadata"]["version"] == new

print(f"hvac {version('hvac')}: all of it")
