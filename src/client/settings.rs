//! Where the daemon is and which client asks, by the first that says it: an option, the environment, the settings file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;
use zeroize::Zeroizing;

use super::address::Address;
use super::credential::Credential;
use super::file::{PassedOver, SettingsFile, read_name};
use super::identity::{Identity, Said};
use crate::base::failure::Failure;
use crate::http::client::Endpoint;
use crate::http::tls;

/// What the options say.
#[derive(Default)]
pub struct Options<'a> {
    pub addr: Option<Address>,
    pub client: Option<String>,
    pub token_file: Option<&'a Path>,
    pub ca: Option<&'a Path>,
    pub cert: Option<&'a Path>,
    pub key: Option<&'a Path>,
    pub file: Option<&'a Path>,
}

/// All that a call needs to know.
pub struct ClientSettings {
    pub address: Address,
    /// What TLS is spoken with, where it is.
    pub tls: Option<Arc<ClientConfig>>,
    pub identity: Identity,
}

impl ClientSettings {
    /// Puts together what `options`, the environment and the settings file say.
    ///
    /// # Errors
    /// Says which of them is wrong, and why.
    pub fn gather(options: Options) -> Result<Self, Failure> {
        let named = variable("CLIENT_CONFIG", |path| Ok(PathBuf::from(path)))?.map(|said| said.value);
        let file = SettingsFile::find(options.file.or(named.as_deref()))?;
        let by_file = |key| file.said(key);
        let addr = match options.addr {
            Some(addr) => Some(addr),
            None => variable("ADDR", Address::parse)?.map(|said| said.value).or(file.addr.clone()),
        };
        if addr.is_none() {
            missing(&file, "where the daemon is, as --addr or JARVIS_SECRETSD_ADDR does too")?;
        }
        let address = addr.unwrap_or(Address::Tcp(Endpoint { host: "127.0.0.1".into(), port: 8081, tls: false }));
        let client = match options.client {
            Some(value) => Some(Said { value, by: "--client".into() }),
            None => variable("CLIENT", read_name)?
                .or(file.client.clone().map(|value| Said { value, by: by_file("client") })),
        };
        let [ca, cert, key] = [("--ca", options.ca), ("--cert", options.cert), ("--key", options.key)];
        let path = |variable_name, (by, option): (&str, Option<&Path>), key, path: &Option<PathBuf>| {
            if let Some(path) = option {
                return Ok(Some(Said { value: path.to_owned(), by: by.to_owned() }));
            }
            let said = variable(variable_name, |path| Ok(PathBuf::from(path)))?;
            Ok::<_, Failure>(said.or(path.clone().map(|value| Said { value, by: by_file(key) })))
        };
        let mut certificate = None;
        let tls = if let Address::Tcp(Endpoint { tls: true, .. }) = address {
            let ca = path("CA", ca, "ca_path", &file.ca_path)?;
            let cert = path("CERT", cert, "cert_path", &file.cert_path)?;
            let key = path("KEY", key, "key_path", &file.key_path)?;
            let identity = match (&cert, &key) {
                (None, None) => None,
                (Some(cert), Some(key)) => Some((cert.value.as_path(), key.value.as_path())),
                (Some(Said { by, .. }), None) => return Err(Failure::new(by, "a certificate needs its key as well")),
                (None, Some(Said { by, .. })) => return Err(Failure::new(by, "a key needs its certificate as well")),
            };
            let tls = tls::client_trusting(ca.as_ref().map(|ca| ca.value.as_path()), identity)?;
            certificate = cert;
            Some(tls)
        } else if let Some((by, _)) = [ca, cert, key].into_iter().find(|(_, path)| path.is_some()) {
            return Err(Failure::new(by, format_args!("is for https://, and the daemon is at {address}")));
        } else {
            None
        };
        // The user at a Unix socket is known to the daemon.
        let is_known = client.is_some() || certificate.is_some() || matches!(address, Address::Unix(_));
        let name = file.name();
        let by_option = options.token_file.map(|path| token_in_file(path, "--token-file")).transpose()?;
        let said = by_option.map_or_else(token_by_environment, |token| Ok(Some(token)))?;
        let token = match said {
            None if !is_known => {
                missing(
                    &file,
                    "who the client is, as --client, JARVIS_SECRETSD_CLIENT or JARVIS_SECRETSD_TOKEN_FILE does too",
                )?;
                token_by_file(file)?
            }
            None => token_by_file(file)?,
            said => said,
        };
        Ok(Self { address, tls, identity: Identity { client, token, certificate, file: name } })
    }
}

/// Nothing says `what`, but perhaps a settings file that was passed over.
fn missing(file: &SettingsFile, what: &str) -> Result<(), Failure> {
    match &file.passed_over {
        Some(PassedOver { path, is_there: true }) => {
            Err(Failure::new(path.display(), format_args!("could not be read by this user; it may say {what}")))
        }
        _ => Ok(()),
    }
}

fn token_by_environment() -> Result<Option<Said<Credential>>, Failure> {
    let token = variable("TOKEN", Credential::parse)?;
    let file = variable("TOKEN_FILE", |path| Ok(PathBuf::from(path)))?;
    match (token, file) {
        (Some(Said { by, .. }), Some(Said { by: other, .. })) => {
            Err(Failure::new(by, format_args!("must not be set together with {other}")))
        }
        (None, Some(Said { value, by })) => token_in_file(&value, &by).map(Some),
        (token, None) => Ok(token),
    }
}

fn token_by_file(mut file: SettingsFile) -> Result<Option<Said<Credential>>, Failure> {
    match (file.token.take(), &file.token_file) {
        (Some(value), _) => Ok(Some(Said { value, by: file.said("token") })),
        (None, Some(path)) => token_in_file(path, &file.said("token_file")).map(Some),
        (None, None) => Ok(None),
    }
}

/// The token in the file at `path`, which is named by `by`.
fn token_in_file(path: &Path, by: &str) -> Result<Said<Credential>, Failure> {
    Ok(Said { value: Credential::in_file(path)?, by: format!("{by}, {}", path.display()) })
}

/// What the environment variable `JARVIS_SECRETSD_<name>` says; an empty one says nothing.
fn variable<T>(name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Result<Option<Said<T>>, Failure> {
    let by = format!("JARVIS_SECRETSD_{name}");
    match std::env::var(&by).map(Zeroizing::new) {
        Ok(text) if !text.is_empty() => match read(&text) {
            Ok(value) => Ok(Some(Said { value, by })),
            Err(why) => Err(Failure::new(by, why)),
        },
        Err(std::env::VarError::NotUnicode(_)) => Err(Failure::new(by, "is not UTF-8")),
        _ => Ok(None),
    }
}
