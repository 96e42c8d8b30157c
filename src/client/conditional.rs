//! Reading a value: the current one, that of a version, or one that is not known yet.

use super::{Client, Secret, secret_path};
use crate::answers::SecretValue;
use crate::base::failure::Failure;
use crate::base::secret::Plaintext;

/// What came of asking for another version than one that is known.
pub enum Conditional {
    /// The known version is still the current one.
    Same,
    /// Another version is the current one.
    Other(Secret),
    Refused {
        status: u16,
        /// The daemon's own words.
        why: Failure,
    },
}

impl Client {
    /// The current value of `name`, or that of its version `kid`.
    ///
    /// # Errors
    /// If there is no answer, the daemon refuses, or the answer is about another secret.
    pub fn get(&self, name: &str, kid: Option<&str>) -> Result<Secret, Failure> {
        let body = self.ask(name, "GET", &secret_path(name, kid)?, None, &[])?;
        let secret = self.read_secret(name, &body)?;
        if kid.is_some_and(|kid| kid != secret.kid) {
            return Err(self.strange(name));
        }
        Ok(secret)
    }

    /// The current value of `name`, if it is not that of the version `kid`. The daemon puts its answer off for the time
    /// `wait`, such as `30s`, until there is another version; only a client that is [patient](Self::patient) enough gets it.
    ///
    /// # Errors
    /// If there is no answer, or it is about another secret.
    pub fn get_other(&self, name: &str, kid: &str, wait: Option<&str>) -> Result<Conditional, Failure> {
        let path = secret_path(name, None)?;
        let target = wait.map_or_else(|| path.clone(), |wait| [&path, "?wait=", wait].concat());
        let tag = ["\"", kid, "\""].concat();
        let answer = self.call("GET", &target, None, &[("If-None-Match", &tag)])?;
        Ok(match answer.status {
            304 => Conditional::Same,
            200 => match self.read_secret(name, &answer.body)? {
                secret if secret.kid == kid => Conditional::Same,
                secret => Conditional::Other(secret),
            },
            status => Conditional::Refused { status, why: self.refused(name, &answer) },
        })
    }

    fn read_secret(&self, name: &str, body: &[u8]) -> Result<Secret, Failure> {
        let read: SecretValue<Plaintext> = self.read(name, body)?;
        if read.name != name {
            return Err(self.strange(name));
        }
        Ok(Secret { value: read.value, kid: read.kid.into_owned() })
    }
}
