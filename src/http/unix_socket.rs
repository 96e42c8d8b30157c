//! A Unix socket that listens, and the file by which it is found: made with the right mode, and taken away with the socket.
//!
//! A path is only a name: whoever can write to its directory can put something else there between two calls. So the file is
//! made as it is to be, and what is at a path is never changed, only removed or renamed.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::fs::{Access, Mode, access, fchmod};
use rustix::net::sockopt::socket_peercred;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use rustix::process::{getgid, getuid, umask};

use super::{Address, BACKLOG, Peer};
use crate::base::failure::Failure;
use crate::base::files;
use crate::base::sync::lock;

/// The longest path of a socket, by the size of `sun_path` (unix(7)), less what its first name is longer.
pub const MAX_PATH: usize = 107 - NEW.len();

/// Behind the name under which a socket is made.
const NEW: &str = ".new";

/// A Unix socket that listens. It never makes the one who accepts wait.
#[derive(Debug)]
pub struct UnixSocket {
    socket: UnixListener,
    path: PathBuf,
    /// The socket's file, which goes with it; none if somebody else takes care of it.
    _file: Option<SocketFile>,
}

impl UnixSocket {
    /// Makes a socket at `path` that listens, whose file has the mode `mode` and is the process's own.
    ///
    /// The file is never there with another mode. It is made beside its place and put there when the socket listens, so
    /// that nobody who connects is refused. A socket that nobody listens at any more, as a crash leaves one, is replaced. Its
    /// file goes with it.
    ///
    /// # Errors
    /// If somebody listens at `path`, or what is there is no socket (it is left as it is), or the system refuses.
    pub fn bind(path: &Path, mode: u32) -> Result<Self, Failure> {
        let fail = |why: &dyn fmt::Display| Failure::new(path.display(), why);
        Self::check_directory(path)?;
        let absolute = std::path::absolute(path).map_err(|why| fail(&why))?;
        refuse_used(&absolute).map_err(|why| fail(&why))?;
        let fresh = files::sibling(&absolute, NEW);
        refuse_used(&fresh).map_err(|why| Failure::new(fresh.display(), why))?;
        let socket = make(&fresh, &absolute, Mode::from_raw_mode(mode)).map_err(|why| fail(&why))?;
        let file = SocketFile::at(&absolute).map_err(|why| fail(&why))?;
        Ok(Self { socket, path: absolute, _file: Some(file) })
    }

    /// Whether this process may make a socket at `path`, as far as its directory tells.
    ///
    /// # Errors
    /// Says what to do.
    pub fn check_directory(path: &Path) -> Result<(), Failure> {
        let fail = |why: &dyn fmt::Display| Err(Failure::new(path.display(), why));
        match access(files::parent(path), Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from) {
            Ok(()) => Ok(()),
            Err(why) if why.kind() == ErrorKind::NotFound => fail(
                &"its directory does not exist; make it, with rights for those who may connect (systemd: RuntimeDirectory=)",
            ),
            Err(why) => {
                let (uid, gid) = (getuid(), getgid());
                fail(&format_args!(
                    "user {uid} cannot make a socket in its directory: {why}; give the socket a directory that belongs to \
                     that user, as root: install -d -o {uid} -g {gid} DIRECTORY (systemd: RuntimeDirectory=)"
                ))
            }
        }
    }

    /// One that listens already. Its file, if it has one, stays.
    pub fn new(socket: UnixListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let path = socket.local_addr()?.as_pathname().unwrap_or("(unnamed)".as_ref()).to_owned();
        Ok(Self { socket, path, _file: None })
    }

    /// The next connection, the name of its other end, and who that is; an error of the kind `WouldBlock` if there is
    /// none.
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr, Peer)> {
        let (stream, name) = self.socket.accept()?;
        let peer = socket_peercred(&stream)?;
        let address = Address::Unix { uid: peer.uid.as_raw(), pid: peer.pid.as_raw_nonzero().get() };
        Ok((stream, name, Peer::at(address)))
    }
}

impl AsFd for UnixSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl fmt::Display for UnixSocket {
    /// As the log names it: `unix:/run/jarvis-secretsd/sock`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix:{}", self.path.display())
    }
}

/// A socket's file. When this is dropped, it is removed, unless another one has taken its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// The one that was just made at `path`.
    fn at(path: &Path) -> io::Result<Self> {
        let meta = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), device: meta.dev(), inode: meta.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours =
            fs::symlink_metadata(&self.path).is_ok_and(|meta| (meta.dev(), meta.ino()) == (self.device, self.inode));
        if is_ours && let Err(why) = fs::remove_file(&self.path) {
            log::warn!(
                "{}: the socket's file could not be removed, and is replaced at the next start: {why}",
                self.path.display()
            );
        }
    }
}

/// Removes a socket that nobody listens at. What is something else, or in use, is an error and stays.
fn refuse_used(path: &Path) -> io::Result<()> {
    let meta = match fs::symlink_metadata(path) {
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(()),
        meta => meta?,
    };
    if !meta.file_type().is_socket() {
        return Err(io::Error::other("exists already and is not a socket; it was left unchanged"));
    }
    match UnixStream::connect(path) {
        Err(why) if why.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Ok(_) => Err(io::Error::new(
            ErrorKind::AddrInUse,
            "another program listens at this socket; end it, or name another path",
        )),
        Err(why) => Err(io::Error::new(why.kind(), format!("a socket is there that cannot be connected to: {why}"))),
    }
}

fn make(fresh: &Path, path: &Path, mode: Mode) -> io::Result<UnixListener> {
    let socket = bind_with_mode(fresh, mode)?;
    let placed = listen(&socket, BACKLOG).map_err(io::Error::from).and_then(|()| fs::rename(fresh, path));
    match placed {
        Ok(()) => Ok(socket.into()),
        Err(why) => {
            let _ = fs::remove_file(fresh);
            Err(why)
        }
    }
}

/// A socket at `path`, whose file has the mode `mode` from its first moment on.
fn bind_with_mode(path: &Path, mode: Mode) -> io::Result<OwnedFd> {
    /// The umask is the whole process's: only one thread at a time changes it.
    static UMASK: Mutex<()> = Mutex::new(());
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // The file gets the mode of its socket, less the umask (unix(7)).
    fchmod(&socket, mode)?;
    let _alone = lock(&UMASK);
    let usual = umask(Mode::RWXG | Mode::RWXO);
    umask(usual - mode);
    let bound = bind(&socket, &address);
    umask(usual);
    bound?;
    Ok(socket)
}
