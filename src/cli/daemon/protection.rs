//! What the configuration means for the daemon's own process.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use crate::access::Access;
use crate::audit;
use crate::base::failure::Failure;
use crate::base::files;
use crate::cli::exit::Exit;
use crate::config::{Config, PathsConfig, ServerConfig, StorageConfig};
use crate::http::TlsConfig;
use crate::process::{self, Protection, Reach, Use, User};

/// The user that the daemon is to become, if the configuration names one.
pub fn user(server: &ServerConfig) -> Result<Option<User>, Failure> {
    server.user.as_deref().map(|user| User::find(user, server.group.as_deref())).transpose()
}

/// Becomes `user`, for good, and makes sure that it can use all that the daemon needs.
pub fn give_up_root(user: &User, config: &Config, access: &Access) -> Result<Protection, Exit> {
    let done = user.switch_to()?;
    check_state(&config.paths, &user.name())?;
    // So that what only root can read is found now, not at the next SIGHUP.
    access.reload().map_err(Exit::config)?;
    access.issuers().check().map_err(Exit::config)?;
    Ok(done)
}

/// Checks that this process, whose user messages call `who`, can use the state, and make what is missing of it.
pub fn check_state(paths: &PathsConfig, who: &dyn Display) -> Result<(), Failure> {
    let PathsConfig { vault_path, audit_path, master_key_path, .. } = paths;
    process::check_usable(vault_path, Use::Keep, who)?;
    process::check_usable(audit_path, Use::Keep, who)?;
    process::check_usable(&audit::signing_key_path(audit_path), Use::ReadOrMake, who)?;
    process::check_usable(master_key_path, Use::ReadOrMake, who)
}

/// Makes the directory of `path`, a file of the state, where it is missing, for whoever will work with it: the user that the
/// configuration names, or else the owner of the directory above.
pub fn make_state_directory(server: &ServerConfig, path: &Path) -> Result<(), Failure> {
    // One that this host does not know may be known where the daemon runs.
    let owner = user(server).ok().flatten().map(|user| user.ids());
    files::create_dir_for(files::parent(path), 0o700, owner).map_err(|why| Failure::new(path.display(), why))
}

/// What the C library reads to resolve the name of a host (resolv.conf(5), nsswitch.conf(5), host.conf(5), gai.conf(5)).
const RESOLVER: [&str; 5] = ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf"];

/// Where the modules are that glibc loads for the services of nsswitch.conf. musl knows files and DNS, and loads nothing.
const RESOLVER_MODULES: &[&str] =
    if cfg!(target_env = "gnu") { &["/lib", "/lib64", "/usr/lib", "/usr/lib64"] } else { &[] };

/// Confines the process to what a daemon at work opens: its state, and what it reads again, the policy, the certificates,
/// and the master key when it is changed; and to connections to etcd, if there are to be any.
///
/// The directory above those of the state is writable too if nothing else is in it, for one that was deleted to be made anew.
///
/// What is behind a symbolic link is read where that leads now, too.
pub fn confine(config: &Config) -> Protection {
    let PathsConfig { vault_path, audit_path, master_key_path, .. } = &config.paths;
    let tls = config.server.tls.iter().flat_map(TlsConfig::paths);
    let storage = config.storage.iter().flat_map(StorageConfig::paths);
    // A name is resolved anew for each connection, and these files are replaced while the daemon runs.
    let resolves = config.storage.as_ref().is_some_and(StorageConfig::resolves_names);
    let (resolver, modules) = if resolves { (&RESOLVER[..], RESOLVER_MODULES) } else { (&[][..], &[][..]) };
    let named: Vec<&Path> = [config.security.rbac_policy_path.as_path(), master_key_path]
        .into_iter()
        .chain(tls)
        .chain(storage)
        .chain(config.jwt_issuers.iter().map(|issuer| issuer.jwks_path.as_path()))
        .chain(resolver.iter().map(Path::new))
        .collect();
    let targets: Vec<PathBuf> = named.iter().filter_map(|path| path.canonicalize().ok()).collect();
    let writable = [vault_path, audit_path].map(|path| files::parent(path));
    // To write in a directory that has these in it and nothing else is to write nowhere else.
    let restorable: Vec<&Path> =
        writable.into_iter().filter_map(Path::parent).filter(|above| has_only(above, &writable)).collect();
    let readable: Vec<&Path> = named
        .into_iter()
        .chain(targets.iter().map(PathBuf::as_path))
        .map(files::parent)
        .chain(modules.iter().map(Path::new))
        .collect();
    // A socket's file goes with the daemon.
    let emptied: Vec<&Path> = [&config.server.unix_socket, &config.server.credential_socket]
        .into_iter()
        .flatten()
        .map(|path| files::parent(path))
        .collect();
    process::confine(&Reach {
        writable: &writable,
        restorable: &restorable,
        readable: &readable,
        emptied: &emptied,
        ports: &config.storage.as_ref().map_or_else(Vec::new, StorageConfig::ports),
    })
}

fn has_only(directory: &Path, paths: &[&Path]) -> bool {
    std::fs::read_dir(directory)
        .is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(|entry| paths.contains(&entry.path().as_path()))))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream, ToSocketAddrs};
    use std::thread;

    use super::*;

    /// What `attempt` gives in a thread that is confined as a daemon with this etcd is; none if this kernel confines nothing.
    fn confined<T: Send>(endpoint: &str, attempt: impl FnOnce() -> T + Send) -> Option<T> {
        let text = format!(
            "[storage]\nkind = 'etcd'\nnode = 'a'\nendpoints = ['{endpoint}']\n[paths]\nstate_dir = '/nowhere'"
        );
        let config = Config::parse(&text, Path::new("c.toml")).unwrap();
        let in_thread = || match confine(&config) {
            // It also tells of a kernel that does not restrict TCP.
            Protection::InForce(what) if !what.contains(',') => Some(attempt()),
            Protection::InForce(why) | Protection::Missing(why) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
                eprintln!("not tested here: {why}");
                None
            }
        };
        thread::scope(|scope| scope.spawn(in_thread).join().unwrap())
    }

    #[test]
    fn a_confined_daemon_connects_to_the_ports_of_etcd_and_to_no_other() {
        let [etcd, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [etcd, other] = [&etcd, &other].map(|listener| listener.local_addr().unwrap());
        confined(&format!("http://{etcd}"), || {
            TcpStream::connect(etcd).unwrap();
            assert_eq!(TcpStream::connect(other).unwrap_err().kind(), ErrorKind::PermissionDenied);
        });
    }

    #[test]
    fn a_confined_daemon_resolves_names_where_etcd_is_named_and_otherwise_reads_nothing_for_it() {
        confined("http://localhost:2379", || {
            let addresses: Vec<_> = ("localhost", 2379).to_socket_addrs().unwrap().collect();
            assert!(addresses.iter().any(|address| address.ip().is_loopback()), "{addresses:?}");
            fs::read("/etc/resolv.conf").unwrap();
        });
        confined("http://127.0.0.1:2379", || {
            for path in RESOLVER.iter().filter(|path| Path::new(path).exists()) {
                assert_eq!(fs::read(path).unwrap_err().kind(), ErrorKind::PermissionDenied, "{path}");
            }
        });
    }
}
