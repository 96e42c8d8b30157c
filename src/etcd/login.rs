//! The user as whom etcd is asked, and the token that stands for it.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use crate::base::failure::Failure;
use crate::base::files;
use crate::base::secret::{Plaintext, value_of};
use crate::base::sync::lock;

/// The longest file that holds a password, in bytes.
const LONGEST_PASSWORD: u64 = 4096;

/// A user of etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub username: String,
    /// The file that holds its password, and perhaps a newline.
    pub password_path: PathBuf,
}

/// A user whose password was read, with its token once there is one.
pub struct Account {
    pub username: String,
    pub password: Plaintext,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    token: Option<Arc<Plaintext>>,
    /// A thread asks for a token.
    is_asking: bool,
}

/// A token that was there, or that was made for this request.
pub struct Token {
    pub value: Arc<Plaintext>,
    pub is_new: bool,
}

impl Account {
    /// Reads the password.
    ///
    /// # Errors
    /// If its file cannot be read, may be read by others, or holds no password.
    pub fn open(login: &Login) -> Result<Self, Failure> {
        let path = &login.password_path;
        let bytes = files::read_private_through_links(path, LONGEST_PASSWORD)?;
        let password = std::str::from_utf8(value_of(&bytes))
            .ok()
            .filter(|password| !password.is_empty())
            .ok_or_else(|| Failure::configuration(path.display(), "must hold the password of etcd's user, in UTF-8"))?;
        Ok(Self {
            username: login.username.clone(),
            password: Plaintext::new(password.to_owned()),
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// The token that is there, or one that `ask` gets. One thread asks at a time; the others wait for what it gets. None if
    /// that takes until `deadline`.
    pub fn token<E>(&self, deadline: Instant, ask: impl FnOnce() -> Result<Plaintext, E>) -> Option<Result<Token, E>> {
        let mut state = lock(&self.state);
        let mut is_new = false;
        while state.is_asking {
            is_new = true;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if let Some(token) = &state.token {
            return Some(Ok(Token { value: token.clone(), is_new }));
        }
        state.is_asking = true;
        drop(state);
        let mut asking = Asking { account: self, got: None };
        Some(ask().map(|token| {
            let value = Arc::new(token);
            asking.got = Some(value.clone());
            Token { value, is_new: true }
        }))
    }

    /// Takes a token that etcd refuses out of use. One that has come into its place stays.
    pub fn forget(&self, refused: &Arc<Plaintext>) {
        lock(&self.state).token.take_if(|token| Arc::ptr_eq(token, refused));
    }
}

/// That a thread asks, until it is dropped, in whatever way it ends.
struct Asking<'a> {
    account: &'a Account,
    got: Option<Arc<Plaintext>>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        *lock(&self.account.state) = State { token: self.got.take(), is_asking: false };
        self.account.changed.notify_all();
    }
}
