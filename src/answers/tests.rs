use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::*;

/// The examples of what a call answers, as the description of the API has them.
fn examples(method: &str, path: &str) -> Vec<Value> {
    let document: Value = serde_json::from_str(include_str!("../../contrib/openapi.json")).unwrap();
    let examples = &document["paths"][path][method]["responses"]["200"]["content"]["application/json"]["examples"];
    examples.as_object().unwrap().values().map(|example| example["value"].clone()).collect()
}

/// Reads and writes all examples of a call whose answer is a `T`.
fn same<T: Serialize + DeserializeOwned>(method: &str, path: &str) {
    let all = examples(method, path);
    assert!(!all.is_empty());
    for mut example in all.into_iter().filter(|example| example.get("dry_run").is_none()) {
        let read: T = serde_json::from_value(example.clone()).unwrap();
        without_generators(&mut example);
        let mut written = serde_json::to_value(&read).unwrap();
        without_generators(&mut written);
        assert_eq!(written, example, "{method} {path}");
    }
}

/// Leaves out what is only written.
fn without_generators(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("generator");
            fields.values_mut().for_each(without_generators);
        }
        Value::Array(items) => items.iter_mut().for_each(without_generators),
        _ => {}
    }
}

#[test]
fn the_answers_are_those_that_the_description_of_the_api_has_as_examples() {
    same::<NewVersion>("post", "/secret");
    same::<SecretValue<'static, String>>("get", "/secret/{name}");
    same::<ConfiguredSecret>("patch", "/secret/{name}");
    same::<DeletedSecret>("delete", "/secret/{name}");
    same::<VersionList>("get", "/secret/{name}/versions");
    same::<ConsumerList>("get", "/secret/{name}/consumers");
    same::<Retired>("post", "/secret/{name}/retire");
    same::<NewVersion>("post", "/secret/{name}/rollback");
    same::<SecretList>("get", "/secrets");
    same::<NewVersions>("post", "/secrets");
    same::<Rotated>("post", "/rotate");
    same::<RotationSchedule>("get", "/rotation/schedule");
}

#[test]
fn an_answer_of_another_version_of_the_daemon_is_read() {
    let older = r#"{"secrets":[{"name":"a","kid":"a-1","created_at":"2026-11-23T11:36:44Z","expires_at":"2026-11-23T11:36:44Z",
        "rotation":"weekly","is_expired":false,"settings":{"rotation":"weekly","rotation_days":1,"grace_days":1,"labels":{},
        "generator":{"type":"another"},"unknown":1},"unknown":[{}]}],"unknown":null}"#;
    let SecretList { secrets, next } = serde_json::from_str::<SecretList>(older).unwrap();
    let [ListedSecret { version, has_appliers, .. }] = &secrets[..] else { panic!("there is one") };
    assert_eq!((&*version.rotation, has_appliers, next), ("weekly", &None, None));
    let planned = r#"{"dry_run":true,"rotated_count":0,"rotated":[],"would_rotate":[{"name":"a","kid":"a-1",
        "created_at":"2026-11-23T11:36:44Z","expires_at":"2026-11-23T11:36:44Z","rotation":"auto",
        "previous_readable_until":"2026-11-23T11:36:44Z"}]}"#;
    let RotationPlan { would_rotate, .. } = serde_json::from_str::<RotationPlan>(planned).unwrap();
    assert!(!would_rotate[0].previous_is_supplied);
}
