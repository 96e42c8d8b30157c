//! An etcd in memory, as far as a log that is shared needs one: transactions, ranges and deletions, by its gateway.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::base::sync::lock;
use crate::etcd::tests::gateway::{Gateway, Heard, Reply};
use crate::etcd::{Etcd, Settings, TlsFiles};

/// What it holds.
#[derive(Default)]
pub struct Content {
    pub pairs: BTreeMap<Vec<u8>, Vec<u8>>,
    revision: u64,
    /// Of each key, the revision that has put it.
    put_at: BTreeMap<Vec<u8>, u64>,
    /// Whether the answer to a transaction that was carried out is lost.
    pub loses: Option<Box<dyn FnMut() -> bool + Send>>,
    /// What is done with the content after each transaction.
    pub after: Option<After>,
}

/// What is done with the content.
pub type After = Box<dyn FnMut(&mut Content) + Send>;

pub struct Memory {
    gateway: Gateway,
    pub content: Arc<Mutex<Content>>,
}

impl Memory {
    pub fn start() -> Self {
        let content = Arc::<Mutex<Content>>::default();
        let shared = content.clone();
        let gateway = Gateway::start(move |heard| lock(&shared).answer(heard));
        Self { gateway, content }
    }

    pub fn settings(&self) -> Settings {
        Settings { endpoints: vec![self.gateway.endpoint.clone()], tls: TlsFiles::default(), login: None }
    }

    pub fn client(&self) -> Etcd {
        Etcd::new(&self.settings(), 0).unwrap()
    }

    /// The keys that begin so.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let content = lock(&self.content);
        let keys = content.pairs.keys().map(|key| String::from_utf8(key.clone()).unwrap());
        keys.filter(|key| key.starts_with(prefix)).collect()
    }

    pub fn put(&self, key: Vec<u8>, value: &[u8]) {
        lock(&self.content).put(key, value.to_vec());
    }

    /// Has `then` be done once, behind so many transactions.
    pub fn after_transactions(&self, count: u64, then: impl FnOnce(&mut Content) + Send + 'static) {
        let (mut left, mut then) = (count, Some(then));
        lock(&self.content).after = Some(Box::new(move |content| {
            left = left.saturating_sub(1);
            if left == 0
                && let Some(then) = then.take()
            {
                then(content);
            }
        }));
    }
}

impl Content {
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.put_at.insert(key.clone(), self.revision + 1);
        self.pairs.insert(key, value);
    }

    fn answer(&mut self, heard: &Heard) -> Reply {
        let mut answer = match heard.target.as_str() {
            "/v3/kv/txn" => self.txn(&heard.body),
            "/v3/kv/range" => self.range(&heard.body),
            "/v3/kv/deleterange" => self.delete(&heard.body),
            _ => return Reply::Json(404, "no such call"),
        };
        answer["header"] = json!({"revision": self.revision.to_string()});
        if heard.target == "/v3/kv/txn" {
            if let Some(mut after) = self.after.take() {
                after(self);
                self.after = Some(after);
            }
            if self.loses.as_mut().is_some_and(|loses| loses()) {
                return Reply::Json(503, r#"{"code":14,"message":"etcdserver: leader changed"}"#);
            }
        }
        Reply::Made(answer.to_string())
    }

    fn txn(&mut self, body: &Value) -> Value {
        let holds = |compare: &Value| {
            let there = self.pairs.get(&bytes(&compare["key"]));
            let result = if compare["target"] == "MOD" { "LESS" } else { "EQUAL" };
            assert_eq!(compare["result"], result);
            match compare["target"].as_str().unwrap() {
                "MOD" => self.keys(compare).iter().all(|key| self.put_at[key] < number(&compare["mod_revision"])),
                "VALUE" => there == Some(&bytes(&compare["value"])),
                "VERSION" => there.is_none(),
                other => panic!("{other} is not compared here"),
            }
        };
        let succeeded = body["compare"].as_array().unwrap().iter().all(holds);
        let taken = body[if succeeded { "success" } else { "failure" }].as_array().unwrap();
        let mut responses = Vec::new();
        for operation in taken {
            let (kind, what) = operation.as_object().unwrap().iter().next().unwrap();
            responses.push(match kind.as_str() {
                "request_put" => {
                    self.put(bytes(&what["key"]), bytes(&what["value"]));
                    json!({"response_put": {}})
                }
                "request_delete_range" => json!({"response_delete_range": self.delete(what)}),
                "request_range" => json!({"response_range": self.range(what)}),
                other => panic!("{other} is not known here"),
            });
        }
        self.revision += 1;
        json!({"succeeded": succeeded, "responses": responses})
    }

    fn keys(&self, what: &Value) -> Vec<Vec<u8>> {
        let first = bytes(&what["key"]);
        match &what["range_end"] {
            Value::Null => self.pairs.keys().filter(|key| **key == first).cloned().collect(),
            end => {
                let end = bytes(end);
                self.pairs.keys().filter(|key| (&first..&end).contains(key)).cloned().collect()
            }
        }
    }

    fn range(&self, what: &Value) -> Value {
        let mut keys = self.keys(what);
        if what["sort_order"] == "DESCEND" {
            keys.reverse();
        }
        if !what["min_mod_revision"].is_null() {
            keys.retain(|key| self.put_at[key] >= number(&what["min_mod_revision"]));
        }
        let limit = what["limit"].as_str().map_or(usize::MAX, |limit| limit.parse().unwrap());
        let more = keys.len() > limit;
        let pair = |key: &Vec<u8>| {
            let value = if what["keys_only"] == true { "".to_owned() } else { base64::encode(&self.pairs[key]) };
            json!({"key": base64::encode(key), "value": value, "mod_revision": self.put_at[key].to_string(), "create_revision": "1"})
        };
        let kvs: Vec<_> = keys.iter().take(limit).map(pair).collect();
        json!({"header": {"revision": self.revision.to_string()}, "kvs": kvs, "more": more})
    }

    fn delete(&mut self, what: &Value) -> Value {
        for key in self.keys(what) {
            self.pairs.remove(&key);
        }
        json!({})
    }
}

fn number(text: &Value) -> u64 {
    text.as_str().unwrap().parse().unwrap()
}

fn bytes(text: &Value) -> Vec<u8> {
    base64::decode(text.as_str().unwrap()).unwrap()
}
