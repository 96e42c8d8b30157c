//! The secrets that a client may read, page by page.

use super::Client;
use crate::answers::{ListedSecret, SecretList};
use crate::base::failure::Failure;
use crate::base::name::is_name;

const LIMIT: u32 = 1000;

impl Client {
    /// Calls `see` with what the daemon's list says of each secret that this client may read, in the order of their names.
    /// `query` are parameters of the list; messages begin with `what`.
    ///
    /// # Errors
    /// As [`ask`](Client::ask), or if the answer has another form than the API promises.
    pub fn list(&self, what: &str, query: &str, mut see: impl FnMut(ListedSecret)) -> Result<(), Failure> {
        let mut after = String::new();
        loop {
            let body = self.ask(what, "GET", &format!("/secrets?{query}&after={after}&limit={LIMIT}"), None, &[])?;
            let SecretList { secrets, next } = self.read::<SecretList>(what, &body)?;
            secrets.into_iter().for_each(&mut see);
            match next {
                Some(next) if is_name(&next) && next > after => after = next,
                Some(_) => return Err(self.strange(what)),
                None => return Ok(()),
            }
        }
    }
}
