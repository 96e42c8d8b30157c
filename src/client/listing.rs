//! The secrets that a client may read, page by page.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Client;
use crate::base::failure::Failure;
use crate::base::name::is_name;

const LIMIT: u32 = 1000;

impl Client {
    /// Calls `see` with what the daemon's list says of each secret that this client may read, in the order of their names.
    /// `query` are parameters of the list; messages begin with `what`.
    ///
    /// # Errors
    /// As [`ask`](Client::ask), or if the answer has another form than the API promises.
    pub fn list<T: DeserializeOwned>(&self, what: &str, query: &str, mut see: impl FnMut(T)) -> Result<(), Failure> {
        #[derive(Deserialize)]
        struct List<T> {
            secrets: Vec<T>,
            next: Option<String>,
        }
        let mut after = String::new();
        loop {
            let body = self.ask(what, "GET", &format!("/secrets?{query}&after={after}&limit={LIMIT}"), None, &[])?;
            let List { secrets, next } = self.read(what, &body)?;
            secrets.into_iter().for_each(&mut see);
            match next {
                Some(next) if is_name(&next) && next > after => after = next,
                Some(_) => return Err(self.strange(what)),
                None => return Ok(()),
            }
        }
    }
}
