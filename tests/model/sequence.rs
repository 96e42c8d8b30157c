//! One operation after the other: every answer and every audit line is what the model says.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, SystemTime};

use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Value, json};

use crate::model::{Answer, Model, Past, Refused, Verdict};
use crate::operation::{Call, Condition, Operation, Request, Tag, Tags, operations};
use crate::policy::Policy;
use crate::system::{self, REMOTE, System, tear};
use crate::times;

/// 2025-10-27T11:36:44.549067206Z
const START: Duration = Duration::from_nanos(1_761_565_004_549_067_206);

/// A daemon and what is known of it.
struct Pair {
    system: System,
    model: Model,
    requests: u64,
    compactions: u64,
    /// How many audit lines were compared.
    compared: usize,
    /// The vault's head behind each change, as the audit lines show it.
    heads: BTreeMap<u64, String>,
    backups: Vec<Past>,
    /// Copies of the vault's file.
    copies: Vec<(Vec<u8>, Past)>,
    /// How often what was seen.
    seen: Seen,
}

/// Operations, statuses of answers, and events of audit lines, each with how often it was seen.
type Seen = BTreeMap<String, u64>;

impl Pair {
    fn start() -> Self {
        let model = Model::new(SystemTime::UNIX_EPOCH + START, 90, 14);
        let system = System::new(model.now);
        system.write_policy(&Policy::open().toml());
        let mut pair = Self {
            system,
            model,
            requests: 0,
            compactions: 0,
            compared: 0,
            heads: BTreeMap::new(),
            backups: Vec::new(),
            copies: Vec::new(),
            seen: Seen::new(),
        };
        pair.start_again();
        pair.model.start(&[]);
        pair
    }

    fn start_again(&mut self) {
        self.try_to_start(false).unwrap_or_else(|why| panic!("{why}"));
    }

    fn try_to_start(&mut self, accept_rollback: bool) -> Result<(), String> {
        self.compactions = 0;
        self.system.start(self.model.rotation_days, self.model.grace_days, accept_rollback)
    }

    fn carry_out(&mut self, operation: Operation) -> Result<(), String> {
        match operation {
            Operation::Ask(request) => self.ask(&request)?,
            Operation::DieOf(request, kept) => self.die_of(&request, kept)?,
            Operation::Die { torn } => self.die(torn),
            Operation::Reconfigure(rotation_days, grace_days) => {
                (self.model.rotation_days, self.model.grace_days) = (rotation_days, grace_days);
                self.die(false);
            }
            Operation::Pass(span) => self.model.now += span,
            Operation::SetBack(span) => self.model.now -= span,
            Operation::Reload(policy) => {
                let text = policy.as_ref().map_or_else(|| "[clients.admin]\nallow = 1\n".to_owned(), Policy::toml);
                self.system.write_policy(&text);
                self.system.reload_policy();
                self.system.write_policy(&self.model.reload(policy).toml());
            }
            Operation::Round => {
                self.system.round();
                self.model.given = self.system.given();
                self.model.round();
                self.note_compactions();
            }
            Operation::Compact => {
                self.system.vault().compact_dead().unwrap();
                self.note_compactions();
            }
            Operation::Backup => {
                self.system.back_up(self.backups.len(), self.model.now);
                self.backups.push(self.model.past());
            }
            Operation::Restore(number) => self.restore(number),
            Operation::Copy => self.copy(),
            Operation::PutBack(number, is_accepted) => self.put_back(number, is_accepted)?,
        }
        self.system.set_clock(self.model.now);
        self.settle();
        self.compare_lines()?;
        self.model.learn(|name, kid| self.system.value(name, kid))
    }

    /// Lets a compaction in the background end, which destroys what is expired before it begins.
    fn settle(&mut self) {
        if self.system.settle() > self.compactions {
            self.saw("compaction in the background");
            self.model.destroy_expired();
            self.note_compactions();
        }
    }

    fn note_compactions(&mut self) {
        let compactions = self.system.settle();
        if compactions > self.compactions {
            self.model.was_compacted();
        }
        self.compactions = compactions;
    }

    fn copy(&mut self) {
        self.copies.push((fs::read(self.system.vault_path()).unwrap(), self.model.past()));
    }

    /// Stops it and puts a backup in place, if there is one. The vault of before becomes one of the copies.
    fn restore(&mut self, number: usize) {
        if self.backups.is_empty() {
            return;
        }
        let number = number % self.backups.len();
        self.system.die();
        self.copy();
        self.system.restore(number);
        self.model.restore(&self.backups[number]);
        self.start_again();
        self.model.start(&[]);
    }

    /// Stops it and puts a copy in place, if there is one.
    fn put_back(&mut self, number: usize, is_accepted: bool) -> Result<(), String> {
        if self.copies.is_empty() {
            return Ok(());
        }
        self.system.die();
        let (path, present) = (self.system.vault_path(), fs::read(self.system.vault_path()).unwrap());
        let (copy, past) = self.copies[number % self.copies.len()].clone();
        fs::write(&path, &copy).unwrap();
        let verdict = self.model.judge(&past);
        self.saw(format!("{verdict:?}"));
        let words = match verdict {
            Verdict::Good => None,
            Verdict::Older => Some("an older file was put in its place"),
            Verdict::Another => Some("another branch of the vault"),
        };
        let refused = self.try_to_start(false).err();
        match (words, &refused) {
            (None, None) => self.model.put_in_place(&past),
            (Some(words), Some(why)) if why.contains(words) => {
                same("the vault, refused", &(fs::read(&path).unwrap() == copy).into(), &true.into())?;
                if is_accepted {
                    self.try_to_start(true)?;
                    self.model.accept(&past);
                    return Ok(());
                }
                fs::write(&path, present).unwrap();
                self.start_again();
            }
            _ => return Err(format!("a vault that is {verdict:?}: {refused:?}")),
        }
        self.model.start(&[]);
        Ok(())
    }

    /// Asks both, and compares their answers.
    fn ask(&mut self, request: &Request) -> Result<(), String> {
        let answer = self.send(request);
        self.model.given = self.system.given();
        let expected = self.model.ask(request, &self.requests.to_string());
        self.saw(answer.status);
        compare(expected, &answer).map_err(|why| format!("{why}\n{request:?} was answered {answer:?}"))
    }

    fn send(&mut self, request: &Request) -> system::Answer {
        let Request { client, call, condition } = request;
        let (method, target, body) = call.to_send(|name, tag| self.model.kid(name, tag));
        self.requests += 1;
        let mut headers = vec![
            ("X-Jarvis-Client".to_owned(), (*client).to_owned()),
            ("X-Request-Id".to_owned(), self.requests.to_string()),
        ];
        let Condition { if_match, if_none_match } = condition;
        for (header, tags) in [("If-Match", if_match), ("If-None-Match", if_none_match)] {
            let quoted = |tag: &Tag| format!("{:?}", self.model.kid(call.name().unwrap_or("none"), *tag));
            let value = tags.as_ref().map(|tags| match tags {
                Tags::Any => "*".to_owned(),
                Tags::These(tags) => tags.iter().map(quoted).collect::<Vec<_>>().join(", "),
            });
            headers.extend(value.map(|value| (header.to_owned(), value)));
        }
        self.system.ask(method, &target, headers, &body)
    }

    /// As if the daemon had been killed when `kept` of the changes were in the vault and none was in the audit log. They
    /// are in force if they are all of the request's, and else none of them is.
    fn die_of(&mut self, request: &Request, kept: usize) -> Result<(), String> {
        let (vault, audit) = (self.system.vault_path(), self.system.audit_path());
        let (vault_before, audit_before) = (fs::read(&vault).unwrap(), fs::read(&audit).unwrap());
        let model_before = self.model.clone();
        self.ask(request)?;
        if self.system.settle() > self.compactions {
            // The file is another one now, so that this was not in the middle.
            self.settle();
            self.die(false);
            return Ok(());
        }
        let changes = std::mem::replace(&mut self.model, model_before).changes;
        self.system.die();
        let after = fs::read(&vault).unwrap();
        let lines: Vec<_> = after[vault_before.len()..].split_inclusive(|byte| *byte == b'\n').collect();
        if lines.len() != changes.len() {
            return Err(format!("{} lines of the vault for {} changes of {request:?}", lines.len(), changes.len()));
        }
        let kept = kept.min(changes.len());
        fs::write(&vault, [vault_before.as_slice(), &lines[..kept].concat()].concat()).unwrap();
        fs::write(&audit, audit_before).unwrap();
        if let Some(next) = lines.get(kept) {
            tear(&vault, next);
        }
        self.start_again();
        let recovered = if kept == changes.len() { &changes[..] } else { &[] };
        if recovered.len() < kept {
            self.saw("part of a request");
        }
        self.model.start(recovered);
        Ok(())
    }

    fn die(&mut self, torn: bool) {
        self.system.die();
        if torn {
            for path in [self.system.vault_path(), self.system.audit_path()] {
                let file = fs::read(&path).unwrap();
                let last = file.split_inclusive(|byte| *byte == b'\n').next_back().unwrap_or_default();
                tear(&path, last);
            }
            fs::write(self.system.vault_path().with_extension("json.compacting"), "left behind").unwrap();
        }
        self.start_again();
        self.model.start(&[]);
    }

    fn saw(&mut self, what: impl ToString) {
        *self.seen.entry(what.to_string()).or_default() += 1;
    }

    fn compare_lines(&mut self) -> Result<(), String> {
        let mut lines_read = self.system.new_lines();
        let lines = self.model.lines.iter().enumerate().skip(self.compared);
        for (line, (_, expected)) in lines_read.iter_mut().zip(lines.clone()) {
            let line = line.as_object_mut().expect("it is an object");
            let head = line["vault_head"].as_str().unwrap_or_default().to_owned();
            let known = self.heads.entry(expected.change).or_insert_with(|| head.clone());
            same("the vault's head", &head.into(), &known.as_str().into())?;
            line.retain(|field, _| !["detail", "vault_head", "prev", "signature"].contains(&field.as_str()));
        }
        let expected: Vec<_> = lines.map(|(index, line)| line.json(index + 1, REMOTE)).collect();
        self.compared += expected.len();
        for (line, expected) in lines_read.iter().zip(&expected) {
            same("audit line", line, expected)?;
            self.saw(line["event"].as_str().unwrap());
        }
        same("number of audit lines", &lines_read.len().into(), &expected.len().into())
    }

    /// Starts the daemon again, and looks at all that can be looked at.
    fn look_at_everything(&mut self) -> Result<(), String> {
        let asked = |call| Operation::Ask(Request { client: "admin", call, condition: Condition::default() });
        self.carry_out(Operation::Die { torn: false })?;
        self.carry_out(Operation::Reload(Some(Policy::open())))?;
        for call in [Call::List, Call::Checkpoint, Call::Health] {
            self.carry_out(asked(call))?;
        }
        for name in self.model.names() {
            self.carry_out(asked(Call::Versions(name)))?;
            self.carry_out(asked(Call::Read(name, None)))?;
            for number in 0..self.model.kid_count(name) {
                self.carry_out(asked(Call::Read(name, Some(Tag::Ever(number)))))?;
            }
        }
        let heads: BTreeSet<_> = self.heads.values().collect();
        same("heads, each of another change", &heads.len().into(), &self.heads.len().into())?;
        let verified = self.system.verify_audit()?;
        same("verified lines", &verified.into(), &self.model.lines.len().into())
    }
}

fn compare(expected: Answer, answer: &system::Answer) -> Result<(), String> {
    let (status, etag) = match &expected {
        Answer::Good(_, etag) => (200, etag.clone()),
        Answer::Unchanged(etag) => (304, Some(etag.clone())),
        Answer::Refused(refused) => (refused.status, None),
    };
    let etag = etag.map(|kid| format!("\"{kid}\""));
    same("status and entity tag", &json!([answer.status, answer.etag]), &json!([status, etag]))?;
    if let Answer::Unchanged(_) = expected {
        return same("body", &answer.body.as_str().into(), &"".into());
    }
    let mut body: Value = serde_json::from_str(&answer.body).map_err(|why| why.to_string())?;
    match expected {
        Answer::Refused(Refused { code, words, .. }) => {
            let says = body["message"].as_str().is_some_and(|message| message.contains(&words));
            same("error", &json!([body["error"], says]), &json!([code, true]))
        }
        Answer::Good(expected, _) => {
            let object = body.as_object_mut().expect("it is an object");
            object.retain(|field, _| !["version", "uptime_secs", "hash", "signature"].contains(&field.as_str()));
            same("body", &body, &expected)
        }
        Answer::Unchanged(_) => unreachable!("compared above"),
    }
}

fn same(what: &str, is: &Value, expected: &Value) -> Result<(), String> {
    if is == expected { Ok(()) } else { Err(format!("{what}: {is:#}\nexpected: {expected:#}")) }
}

/// Carries out these operations, and returns what was seen.
fn run(operations: Vec<Operation>) -> Result<Seen, String> {
    let mut pair = Pair::start();
    for (index, operation) in operations.into_iter().enumerate() {
        pair.carry_out(operation).map_err(|why| format!("operation {index}: {why}"))?;
        pair.saw("operation");
    }
    pair.look_at_everything()?;
    Ok(pair.seen)
}

/// What chance may not come to: a file that is put back is the one that was there, an older one, and one of another branch,
/// which is refused and then accepted.
fn put_back_each_kind() -> Vec<Operation> {
    use Operation::{Backup, Copy, PutBack, Restore};
    // The second restore keeps the copy of number 3, of the branch that the first one has begun.
    let branches = [Backup, Copy, Restore(0), Copy, PutBack(2, false), PutBack(0, false), Restore(0)];
    branches.into_iter().chain([PutBack(3, false), PutBack(3, true)]).collect()
}

#[test]
fn every_sequence_of_operations_comes_to_what_a_simple_model_says() {
    let config = Config { cases: 100 * times(), failure_persistence: None, ..Config::default() };
    let seen = RefCell::new(Seen::new());
    let run = |operations| {
        for (what, count) in run(operations).map_err(TestCaseError::fail)? {
            *seen.borrow_mut().entry(what).or_default() += count;
        }
        Ok(())
    };
    run(put_back_each_kind()).unwrap_or_else(|why| panic!("{why}"));
    TestRunner::new(config).run(&operations(80), run).unwrap_or_else(|why| panic!("{why}"));
    let seen = seen.into_inner();
    println!("{seen:#?}");
    for what in ["200", "304", "400", "401", "403", "404", "409", "410", "412", "413", "recovered", "destroy_version"]
        .into_iter()
        .chain(["restore", "rollback_accepted", "Good", "Older", "Another"])
    {
        assert!(seen.contains_key(what), "chance never came to {what}");
    }
}
