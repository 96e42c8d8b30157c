//! What an application does with vaultrs.

use std::collections::HashMap;
use std::fmt::Debug;
use std::{env, fs};

use serde_json::{Value, json};
use vaultrs::api::kv2::requests::{SetSecretMetadataRequestBuilder, SetSecretRequestOptions};
use vaultrs::client::{VaultClient, VaultClientSettingsBuilder};
use vaultrs::error::ClientError;
use vaultrs::{auth, kv1, kv2, sys, token};

const MINE: &str = "app_vaultrs";

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

fn client(token: &str) -> VaultClient {
    let settings = VaultClientSettingsBuilder::default().address(variable("VAULT_ADDR")).token(token).build().unwrap();
    VaultClient::new(settings).unwrap()
}

/// The call has failed with this status and words.
fn refused<T: Debug>(status: u16, words: &str, answer: Result<T, ClientError>) {
    match answer {
        Err(ClientError::APIError { code, errors }) => {
            assert_eq!(code, status, "{errors:?}");
            assert!(errors.join(" ").contains(words), "{words} is not in {errors:?}");
        }
        other => panic!("not refused: {other:?}"),
    }
}

async fn run() -> Result<(), ClientError> {
    let [app, deploy, nothing] = ["APP_TOKEN", "DEPLOY_TOKEN", "NOTHING_TOKEN"].map(variable);
    let [old, new] = ["OLD", "NEW"].map(|name| variable(name).parse::<u64>().unwrap());
    let text = json!({ "value": "correct horse \"ö\"" });
    let (vault, admin) = (client(&app), client(&deploy));

    assert!(!sys::health(&vault).await?.sealed);
    assert!(matches!(sys::status(&vault).await?, sys::ServerStatus::OK));
    assert_eq!(token::lookup_self(&vault).await?.policies, ["app"]);
    assert_eq!(token::renew_self(&vault, None).await?.client_token, app);

    assert_eq!(kv2::read::<Value>(&vault, "secret", "app_password").await?, text);
    assert_eq!(
        kv2::read_version::<Value>(&vault, "secret", "app_password", old).await?,
        json!({ "value": "the first" })
    );
    assert_eq!(
        kv2::read::<Value>(&vault, "secret", "team/db/user").await?,
        json!({ "value": "the value of team.db.user" })
    );
    assert_eq!(kv1::get::<Value>(&vault, "kv", "app_password").await?, text);
    assert_eq!(kv2::list(&vault, "secret", "team").await?, ["db/", "web"]);
    assert!(kv2::list(&vault, "secret", "").await?.contains(&"app_password".to_owned()));
    assert_eq!(kv2::read_metadata(&vault, "secret", "app_password").await?.current_version, new);
    assert!(!kv2::config::read(&vault, "secret").await?.cas_required);

    refused(404, "", kv2::read::<Value>(&vault, "secret", "app_missing").await);
    refused(404, "", kv2::list(&vault, "secret", "app_missing").await);
    refused(403, "permission denied", kv2::read::<Value>(&vault, "secret", "other_secret").await);
    refused(403, "permission denied", kv2::read::<Value>(&client(&nothing), "secret", "app_password").await);
    refused(403, "permission denied", kv2::set(&vault, "secret", MINE, &text).await);
    refused(404, "no handler for route", kv2::read::<Value>(&vault, "other", "app_password").await);

    let cas = |cas| SetSecretRequestOptions { cas };
    let first = kv2::set_with_options(&admin, "secret", MINE, &text, cas(0)).await?.version;
    refused(400, "check-and-set parameter", kv2::set_with_options(&admin, "secret", MINE, &text, cas(0)).await);
    let map = json!({ "user": "u", "port": 5432 });
    let second = kv2::set_with_options(&admin, "secret", MINE, &map, cas(first as u32)).await?.version;
    assert!(second > first);
    assert_eq!(kv2::read::<Value>(&admin, "secret", MINE).await?, map);
    kv1::set(&admin, "kv", MINE, &HashMap::from([("value", "by v1")])).await?;
    assert_eq!(kv1::get::<Value>(&admin, "kv", MINE).await?, json!({ "value": "by v1" }));
    let mut labels = SetSecretMetadataRequestBuilder::default();
    labels.custom_metadata(HashMap::from([("owner".to_owned(), "web".to_owned())]));
    kv2::set_metadata(&admin, "secret", MINE, Some(&mut labels)).await?;
    let labels = kv2::read_metadata(&admin, "secret", MINE).await?.custom_metadata;
    assert_eq!(labels, Some(HashMap::from([("owner".to_owned(), "web".to_owned())])));
    refused(400, "nothing was deleted", kv2::delete_latest(&admin, "secret", MINE).await);
    refused(400, "nothing was changed", kv2::delete_versions(&admin, "secret", MINE, vec![first]).await);
    refused(400, "nothing was changed", kv2::undelete_versions(&admin, "secret", MINE, vec![first]).await);
    refused(400, "nothing was changed", kv2::destroy_versions(&admin, "secret", MINE, vec![first]).await);
    kv2::delete_metadata(&admin, "secret", MINE).await?;
    refused(404, "", kv2::read::<Value>(&admin, "secret", MINE).await);
    refused(400, "nothing was revoked", token::revoke_self(&vault).await);
    refused(400, "issues no tokens", token::new(&admin, None).await);

    let login = auth::approle::login(&client(""), "approle", "app", &app).await?;
    assert_eq!(kv2::read::<Value>(&client(&login.client_token), "secret", "app_password").await?, text);
    refused(403, "permission denied", auth::approle::login(&client(""), "approle", "deploy", &app).await);

    let login = auth::oidc::login(&client(""), "jwt", &variable("CI_JWT"), Some("ci".to_owned())).await?;
    assert_eq!(kv2::read::<Value>(&client(&login.client_token), "secret", "app_password").await?, text);
    refused(403, "permission denied", auth::oidc::login(&client(""), "jwt", &variable("OTHER_JWT"), None).await);
    let jwt = fs::read_to_string(variable("POD_JWT_FILE")).unwrap();
    let login = auth::kubernetes::login(&client(""), "kubernetes", "pod", &jwt).await?;
    assert_eq!(token::lookup_self(&client(&login.client_token)).await?.policies, ["pod"]);
    Ok(())
}

fn main() {
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run()).unwrap();
    println!("vaultrs 0.8.0: all of it");
}
