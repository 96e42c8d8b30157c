//! The settings file, `client.toml`.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::address::Address;
use super::credential::Credential;
use crate::base::failure::Failure;
use crate::base::files;
use crate::base::name::is_name;
use crate::base::strict_toml::{Document, Value};

/// No settings are longer.
const LIMIT: u64 = 1024 * 1024;

/// What a settings file says.
#[derive(Default)]
pub struct SettingsFile {
    /// Where it is; none: there is no such file, and it says nothing.
    pub path: Option<PathBuf>,
    pub addr: Option<Address>,
    pub client: Option<String>,
    pub token: Option<Credential>,
    pub token_file: Option<PathBuf>,
    pub ca_path: Option<PathBuf>,
    pub cert_path: Option<PathBuf>,
    pub key_path: Option<PathBuf>,
    /// One that nobody has named and that cannot be read: what it says has to be said otherwise.
    pub passed_over: Option<PassedOver>,
}

/// A settings file that this user may not read.
pub struct PassedOver {
    pub path: PathBuf,
    /// Whether there surely is one. In a directory that this user may not enter, there may be.
    pub is_there: bool,
}

impl SettingsFile {
    /// Reads the file that is `named`, or else the user's own or the system's, whichever is there first. If that may not be read, it
    /// says nothing.
    ///
    /// # Errors
    /// Names line, column and key of what is wrong.
    pub fn find(named: Option<&Path>) -> Result<Self, Failure> {
        match named {
            Some(path) => {
                path.metadata().map_err(|why| Failure::new(path.display(), why))?;
                Self::read(path)
            }
            None => Self::usual(),
        }
    }

    fn usual() -> Result<Self, Failure> {
        let mut passed_over = None;
        for path in usual_places() {
            match access(&path, Access::READ_OK) {
                Ok(()) => return Self::read(&path),
                Err(Errno::ACCESS) => {
                    let is_there = path.symlink_metadata().is_ok();
                    passed_over.get_or_insert(PassedOver { path, is_there });
                    if is_there {
                        break;
                    }
                }
                Err(_) => {}
            }
        }
        Ok(Self { passed_over, ..Self::default() })
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        let document = Document::read(path)?;
        let mut root = document.root()?;
        let mut file = Self { path: Some(path.to_owned()), ..Self::default() };
        root.set("addr", &mut file.addr, |value| checked(value, Address::parse))?;
        root.set("client", &mut file.client, |value| checked(value, read_name))?;
        let token = root.set("token", &mut file.token, |value| checked(value, Credential::parse))?;
        let token_file = root.set("token_file", &mut file.token_file, path_in)?;
        root.set("ca_path", &mut file.ca_path, path_in)?;
        root.set("cert_path", &mut file.cert_path, path_in)?;
        root.set("key_path", &mut file.key_path, path_in)?;
        root.finish()?;
        if let (Some(_), Some(token_file)) = (&token, &token_file) {
            return Err(token_file.refuse("must not be set together with `token`"));
        }
        if token.is_some() {
            // Now that there turns out to be a token in it, who else may read it matters.
            files::read_credential(path, LIMIT)?;
        }
        Ok(file)
    }

    /// How messages call the setting `key` of this file.
    pub fn said(&self, key: &str) -> String {
        format!("{key} in {}", self.name())
    }

    /// How messages call this file.
    pub fn name(&self) -> String {
        match (&self.path, &self.passed_over) {
            (Some(path), _) => path.display().to_string(),
            (None, Some(PassedOver { path, .. })) => format!("{}, which could not be read", path.display()),
            (None, None) => "client.toml".to_owned(),
        }
    }
}

/// `$XDG_CONFIG_HOME/jarvis-secretsd/client.toml`, by default in `~/.config`, and `/etc/jarvis-secretsd/client.toml`.
fn usual_places() -> impl Iterator<Item = PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let own = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
    own.into_iter().chain([PathBuf::from("/etc")]).map(|directory| directory.join("jarvis-secretsd/client.toml"))
}

fn checked<T>(value: &Value<'_>, read: fn(&str) -> Result<T, String>) -> Result<Option<T>, Failure> {
    read(value.string()?).map(Some).map_err(|why| value.refuse(why))
}

fn path_in(value: &Value<'_>) -> Result<Option<PathBuf>, Failure> {
    value.path().map(Some)
}

pub fn read_name(text: &str) -> Result<String, String> {
    let why = "must be a client's name: 1 to 128 of A-Z a-z 0-9 _ . -";
    if is_name(text) { Ok(text.to_owned()) } else { Err(why.to_owned()) }
}
