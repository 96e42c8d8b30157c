//! Thousands of random operations, and a model so simple that it can be believed.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// Marsaglia's xorshift64: the same numbers for the same seed.
pub(in crate::vault) struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Says with which seed a test failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed was {:#x}", self.0);
        }
    }
}

struct ModelVersion {
    kid: String,
    value: String,
    until: Option<Timestamp>,
}

#[derive(Default)]
struct ModelSettings {
    grace_days: Option<u32>,
    description: Option<String>,
}

#[derive(Default)]
struct Model {
    secrets: BTreeMap<String, Vec<ModelVersion>>,
    settings: BTreeMap<String, ModelSettings>,
    /// The kid and the value of the version that is prepared.
    pending: BTreeMap<String, (String, String)>,
    /// Every kid that ever was, with its secret.
    ever: BTreeMap<String, BTreeSet<String>>,
    seq: u64,
    /// The last second that any kid is of.
    latest: u64,
    /// How often a version was destroyed that an older one outlives.
    outlived: usize,
    /// How often the value of an older version became the current one.
    rolled_back: usize,
}

impl Model {
    fn put(&mut self, name: &str, kid: String, value: String, now: Timestamp) {
        self.expect_new(name, &kid, now);
        self.make_current(name, kid, value, now);
    }

    /// Destroys all versions but the current one.
    fn retire(&mut self, name: &str) {
        let versions = self.secrets.get_mut(name).unwrap();
        let retired = versions.len() - 1;
        versions.drain(..retired);
        self.seq += retired as u64;
    }

    /// That `kid`, which was given out now, never was before, and says the time, unless the clock was set back.
    #[track_caller]
    fn expect_new(&mut self, name: &str, kid: &str, now: Timestamp) {
        assert!(self.ever.entry(name.to_owned()).or_default().insert(kid.to_owned()), "{kid} came twice");
        let second = Kid::parse(name, kid).unwrap().second();
        assert!((now.seconds()..=self.latest.max(now.seconds())).contains(&second), "{kid} at {now}");
        self.latest = self.latest.max(second);
    }

    fn make_current(&mut self, name: &str, kid: String, value: String, now: Timestamp) {
        self.pending.remove(name);
        let grace_days = self.settings.get(name).and_then(|settings| settings.grace_days);
        let versions = self.secrets.entry(name.to_owned()).or_default();
        if let Some(previous) = versions.last_mut() {
            previous.until = Some(now.plus_days(grace_days.unwrap_or(LIFETIMES.grace_days)));
        }
        versions.push(ModelVersion { kid, value, until: None });
        self.seq += 1;
    }

    fn delete(&mut self, name: &str) {
        self.secrets.remove(name);
        self.settings.remove(name);
        self.pending.remove(name);
        self.seq += 1;
    }

    fn destroy(&mut self, now: Timestamp) -> usize {
        let mut destroyed = 0;
        for versions in self.secrets.values_mut() {
            let before = versions.len();
            let is_expired = |version: &ModelVersion| version.until.is_some_and(|until| until <= now);
            self.outlived +=
                versions.iter().skip_while(|oldest| is_expired(oldest)).filter(|one| is_expired(one)).count();
            versions.retain(|version| !is_expired(version));
            destroyed += before - versions.len();
        }
        self.seq += destroyed as u64;
        destroyed
    }

    fn read(&self, name: &str, kid: &str, now: Timestamp) -> Result<String, Missing> {
        let versions = self.secrets.get(name).ok_or(Missing::NotFound)?;
        match versions.iter().find(|version| version.kid == kid) {
            Some(version) if version.until.is_some_and(|until| until <= now) => Err(Missing::Gone),
            Some(version) => Ok(version.value.clone()),
            None if self.pending.get(name).is_some_and(|(pending, _)| pending == kid) => Err(Missing::NotFound),
            None if self.ever[name].contains(kid) => Err(Missing::Gone),
            None => Err(Missing::NotFound),
        }
    }

    /// The version that is so many before the current one, and its value.
    fn older(&self, name: &str, back: usize) -> Option<(String, String)> {
        let ModelVersion { kid, value, .. } = self.secrets.get(name)?.iter().rev().nth(back + 1)?;
        Some((kid.clone(), value.clone()))
    }

    /// Compares all that can be read of `name`.
    #[track_caller]
    fn expect(&self, vault: &Vault, name: &str) {
        let current = self.secrets.get(name).map(|versions| versions.last().unwrap().value.clone());
        assert_eq!(read(vault, name).ok(), current, "{name}");
        let pending = vault.find_pending(name).map(|version| {
            let value = vault.open(&version).unwrap().value().to_owned();
            (version.kid, value)
        });
        assert_eq!(pending.as_ref(), self.pending.get(name), "{name}");
        if let Some(Description { settings, .. }) = vault.describe(name) {
            let (grace_days, description) = match self.settings.get(name) {
                Some(expected) => (expected.grace_days, expected.description.clone()),
                None => (None, None),
            };
            assert_eq!(settings, Settings { grace_days, description, ..Settings::default() }, "{name}");
        }
        for kid in self.ever.get(name).into_iter().flatten() {
            assert_eq!(read_version(vault, name, Some(kid)), self.read(name, kid, vault.now()), "{kid}");
        }
    }

    #[track_caller]
    fn expect_all(&self, vault: &Vault) {
        assert_eq!(vault.seq(), self.seq);
        let listed: Vec<_> = vault.all(|_| true).map(|listed| (listed.name.clone(), listed.kid())).collect();
        let current: Vec<_> =
            self.secrets.iter().map(|(name, versions)| (name.clone(), versions.last().unwrap().kid.clone())).collect();
        assert_eq!(listed, current);
        let versions: usize = self.secrets.values().map(Vec::len).sum();
        assert_eq!(vault.census(&mut |_| {}).versions, versions as u64);
        self.ever.keys().for_each(|name| self.expect(vault, name));
    }
}

/// Returns how often a version was destroyed that an older one outlives, and how often one was rolled back to.
fn run(seed: u64, steps: u32) -> (usize, usize) {
    let _seed = Seed(seed);
    let site = Site::new(&format!("model-{seed:x}"));
    let mut random = Random(seed);
    let mut model = Model::default();
    let mut vault = site.open();
    for step in 0..steps {
        let name = format!("secret-{}", random.below(6));
        let exists = model.secrets.contains_key(&name);
        let mut compactions = vault.stats().compactions.load(Ordering::Relaxed);
        match random.below(100) {
            0..5 => {
                // What is before it ends: all is destroyed, or the replaced one is left to somebody else.
                let value = format!("revoking {step}");
                let is_destroyed = random.below(2) == 0;
                let previous = if is_destroyed { Previous::Destroyed } else { Previous::Ended };
                let done = vault.commit(order(revoking_operation(&name, &value, previous))).unwrap();
                model.put(&name, done[0].kid.unwrap().of(&name), value, vault.now());
                assert_eq!(done[0].previous.map(|(_, until)| until), exists.then(|| vault.now()));
                if let Some(replaced) = model.secrets.get_mut(&name).unwrap().iter_mut().rev().nth(1) {
                    replaced.until = Some(vault.now());
                }
                if is_destroyed {
                    model.retire(&name);
                }
            }
            5..30 => {
                let value = format!("value {step} {}", "x".repeat(random.below(300) as usize));
                let kid = put(&vault, &name, &value);
                model.put(&name, kid, value, vault.now());
            }
            30..33 if exists => {
                let (grace_days, description) = (random.below(20) as u32, format!("step {step}"));
                let settings = model.settings.entry(name.clone()).or_default();
                let mut patch = Patch { description: Some(Some(description.clone())), ..Patch::default() };
                settings.description = Some(description);
                if random.below(2) == 0 {
                    // Now and then one that outlives all that come later.
                    settings.grace_days = match grace_days {
                        0..14 => Some(grace_days),
                        14..16 => Some(3650),
                        _ => None,
                    };
                    patch.grace_days = Some(settings.grace_days);
                }
                configure(&vault, &name, patch);
                model.seq += 1;
            }
            33..36 if exists && !model.pending.contains_key(&name) => {
                let value = format!("prepared {step}");
                let kid = prepare(&vault, &name, &value);
                model.expect_new(&name, &kid, vault.now());
                model.pending.insert(name.clone(), (kid, value));
                model.seq += 1;
            }
            36..39 if let Some((kid, value)) = model.pending.get(&name).cloned() => {
                if random.below(3) == 0 {
                    vault.commit(order(discard_operation(&name, &kid))).unwrap();
                    model.pending.remove(&name);
                    model.seq += 1;
                } else {
                    vault.commit(order(promote_operation(&name, &kid))).unwrap();
                    model.make_current(&name, kid, value, vault.now());
                }
            }
            39..40 if exists => {
                vault.commit(order(retire_operation(&name))).unwrap();
                model.retire(&name);
            }
            50..53 if let Some((kid, value)) = model.older(&name, random.below(3) as usize) => {
                let expected = match model.read(&name, &kid, vault.now()) {
                    Err(_) => Err(Refused::Gone(name.clone())),
                    Ok(_) if model.pending.contains_key(&name) => Err(Refused::Pending(name.clone())),
                    Ok(_) => Ok(value.clone()),
                };
                let made =
                    vault.commit(order(roll_back_operation(&name, &kid))).map(|done| done[0].kid.unwrap().of(&name));
                assert_eq!(made.clone().map(|_| value.clone()), expected, "{kid}");
                if let Ok(made) = made {
                    model.put(&name, made, value, vault.now());
                    model.rolled_back += 1;
                }
            }
            30..40 => {}
            40..50 if exists => {
                delete(&vault, &name);
                model.delete(&name);
            }
            50..60 if exists => {
                let kid = rotate(&vault, &name);
                let value = read(&vault, &name).unwrap();
                assert_eq!(value.len(), 44);
                model.put(&name, kid, value, vault.now());
            }
            40..60 => {
                let refused = Refused::NotFound(name.clone());
                let operation = if random.below(2) == 0 { delete_operation(&name) } else { rotate_operation(&[&name]) };
                assert_eq!(vault.commit(order(operation)).unwrap_err(), refused);
            }
            60..68 => assert_eq!(destroy_expired(&vault), model.destroy(vault.now())),
            68..84 => site.dial.advance(std::time::Duration::from_secs(random.below(5 * 86_400))),
            84..86 => {
                site.dial.set(Timestamp::from_nanos(vault.now().nanos() - random.below(10 * 86_400) * 1_000_000_000))
            }
            86..92 => {
                vault.compact_dead().unwrap();
                compactions = vault.stats().compactions.load(Ordering::Relaxed);
            }
            _ => {
                settle(&vault);
                let before = picture(&vault);
                vault = site.reopen(vault);
                compactions = 0;
                assert_eq!(picture(&vault), before);
                model.expect_all(&vault);
            }
        }
        settle(&vault);
        if vault.stats().compactions.load(Ordering::Relaxed) > compactions {
            // One in the background destroys what is expired first.
            model.destroy(vault.now());
        }
        model.expect(&vault, &name);
    }
    settle(&vault);
    vault.compact_dead().unwrap();
    assert_eq!(lock(&vault.state).spent().count(), model.secrets.len(), "nothing is left of a deleted secret");
    model.expect_all(&vault);
    (model.outlived, model.rolled_back)
}

#[test]
fn a_thousand_random_operations_come_to_what_a_simple_model_says() {
    let (outlived, rolled_back) = run(0x9e37_79b9_7f4a_7c15, 1000);
    assert!(outlived > 0, "they show nothing of a grace that ends before an older one");
    assert!(rolled_back > 0, "they show nothing of a way back");
}

#[test]
fn so_do_a_thousand_others_every_time() {
    run(u64::from_be_bytes(*seal::random().unwrap()) | 1, 1000);
}
