//! `sys/…`: what clients ask for when they start, such as whether the server is well, and what is where.

use rouille::Response;

use super::answer;
use super::asked::Asked;
use crate::api::Api;
use crate::api::call::Call;
use crate::api::health;
use crate::api::problem::Problem;

/// A version of Vault whose clients find what they need here. Some go by it, and read it as one of semantic versioning.
const VERSION: &str = "1.14.0+jarvis-secretsd";

/// `GET sys/health`: 200, or 503 where a secret could not be served, audited or rotated.
pub fn health(api: &Api, _: &Asked) -> Result<Response, Problem> {
    let status = if health::trouble(api).is_none() { 200 } else { 503 };
    let health = format!(
        r#"{{"initialized":true,"sealed":false,"standby":false,"performance_standby":false,"replication_performance_mode":"disabled","replication_dr_mode":"disabled","server_time_utc":{},"version":"{VERSION}","cluster_name":"","cluster_id":""}}"#,
        api.vault.now().seconds()
    );
    Ok(answer::text(&health).with_status_code(status))
}

/// `GET sys/seal-status`
pub fn seal_status(_: &Api, _: &Asked) -> Result<Response, Problem> {
    Ok(answer::text(&format!(
        r#"{{"type":"shamir","initialized":true,"sealed":false,"t":1,"n":1,"progress":0,"nonce":"","version":"{VERSION}","build_date":"","migration":false,"recovery_seal":false,"storage_type":"file"}}"#
    )))
}

/// `GET sys/leader`
pub fn leader(_: &Api, _: &Asked) -> Result<Response, Problem> {
    Ok(answer::text(r#"{"ha_enabled":false,"is_self":true,"leader_address":"","leader_cluster_address":""}"#))
}

/// `GET sys/init`
pub fn init(_: &Api, _: &Asked) -> Result<Response, Problem> {
    Ok(answer::text(r#"{"initialized":true}"#))
}

/// `GET sys/mounts`
pub fn mounts(_: &mut Call, asked: &Asked) -> Result<Response, Problem> {
    Ok(answer::data_twice(asked, &both()))
}

/// `GET sys/internal/ui/mounts`
pub fn ui_mounts(_: &mut Call, asked: &Asked) -> Result<Response, Problem> {
    Ok(answer::data_text(asked, &format!(r#"{{"auth":{{}},"secret":{{{}}}}}"#, both())))
}

/// `GET sys/internal/ui/mounts/PATH`: what is mounted where the path begins.
pub fn ui_mount(call: &mut Call, asked: &Asked) -> Result<Response, Problem> {
    match asked.path.split('/').next() {
        Some(name @ ("secret" | "kv")) => {
            Ok(answer::data_text(asked, &format!(r#"{{"path":"{name}/",{}}}"#, mount(name))))
        }
        // As Vault says of what is not there.
        _ => Err(Problem::denied(call.client(), "what is mounted there")),
    }
}

/// What is mounted, by its path, as the fields of an object.
fn both() -> String {
    format!(r#""secret/":{{{}}},"kv/":{{{}}}"#, mount("secret"), mount("kv"))
}

/// What is told of one of them, as the fields of an object.
fn mount(name: &str) -> String {
    let version = if name == "kv" { "1" } else { "2" };
    // The last four are there for one client, which reads no answer without them.
    format!(
        r#""type":"kv","options":{{"version":"{version}"}},"description":"","accessor":"kv_{name}","config":{{"default_lease_ttl":0,"max_lease_ttl":0,"force_no_cache":false}},"local":false,"seal_wrap":false,"uuid":"","external_entropy_access":false,"plugin_version":"","running_plugin_version":"","running_sha256":"""#
    )
}
