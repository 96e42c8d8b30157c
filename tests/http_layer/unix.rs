//! The Unix socket: the same server behind another door.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jarvis_secretsd::http::{Endpoint, Limits, Listener, Server, UnixSocket};

use crate::patience::PATIENCE;
use crate::support::{App, Client, limits};

fn directory(test: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("jarvis-unix-{}-{test}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir(&path).unwrap();
    path
}

fn endpoint(path: &Path) -> Endpoint {
    Endpoint::unix(UnixSocket::bind(path, 0o600).unwrap())
}

/// A server on a socket at `path` and on a TCP port.
fn serve(path: &Path, limits: Limits) -> (Arc<App>, Server) {
    let app = Arc::new(App::default());
    let listener = Listener::at(vec![endpoint(path), Endpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap()]);
    let server = listener.serve(limits, app.clone()).unwrap();
    (app, server)
}

/// Asks once, and returns all that comes.
fn ask(path: &Path, target: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    // The request of a client that is turned away is not read, and it gets the answer all the same.
    let _ = stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

#[test]
fn one_server_answers_at_both_sockets_and_knows_who_is_at_the_other_end() {
    let path = directory("both").join("sock");
    let (app, server) = serve(&path, limits());
    let answer = ask(&path, "/here");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("GET /here "), "{answer}");
    let me = format!("unix:uid={},pid={}", rustix::process::geteuid().as_raw(), std::process::id());
    assert_eq!(app.peers().last().unwrap(), &me);
    let tcp = std::net::TcpStream::connect(server.local_addr().unwrap()).unwrap();
    let from = tcp.local_addr().unwrap().to_string();
    assert_eq!(Client::new(tcp).get("/there").body, "GET /there ");
    assert_eq!(app.peers().last().unwrap(), &from);
    assert_eq!(server.stats().accepted(), 2);
    assert_eq!(server.stop(PATIENCE), 0);
}

#[test]
fn a_connection_over_the_limit_is_turned_away_at_either_socket() {
    let path = directory("limit").join("sock");
    let (app, server) = serve(&path, Limits { max_connections: 1, ..limits() });
    let mut held = Client::new(std::net::TcpStream::connect(server.local_addr().unwrap()).unwrap());
    held.send("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    app.gate.await_arrivals(1);
    assert!(ask(&path, "/more").starts_with("HTTP/1.1 503 "));
    app.gate.open();
    assert_eq!(held.answer().status, 200);
    server.stop(PATIENCE);
}

#[test]
fn the_file_has_its_mode_and_goes_with_the_server() {
    let path = directory("goes").join("sock");
    for mode in [0o600, 0o660, 0o666, 0o777, 0o000, 0o622] {
        let _socket = UnixSocket::bind(&path, mode).unwrap();
        let meta = fs::symlink_metadata(&path).unwrap();
        assert!(meta.file_type().is_socket());
        assert_eq!(meta.mode() & 0o7777, mode);
    }
    let (_, server) = serve(&path, limits());
    server.stop(PATIENCE);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
}

#[test]
fn what_has_taken_the_place_of_the_file_stays() {
    let path = directory("taken").join("sock");
    let ours = endpoint(&path);
    fs::remove_file(&path).unwrap();
    let _theirs = UnixListener::bind(&path).unwrap();
    drop(ours);
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_socket_that_a_crash_left_behind_is_replaced_and_one_in_use_is_not() {
    let path = directory("stale").join("sock");
    drop(UnixListener::bind(&path).unwrap());
    drop(UnixListener::bind(path.with_extension("new")).unwrap());
    let _live = endpoint(&path);
    let refused = UnixSocket::bind(&path, 0o600).unwrap_err().to_string();
    assert!(refused.contains("another program listens at this socket"), "{refused}");
    UnixStream::connect(&path).unwrap();
}

#[test]
fn what_is_no_socket_is_never_replaced() {
    let directory = directory("file");
    fs::write(directory.join("secret"), "kept").unwrap();
    std::os::unix::fs::symlink(directory.join("secret"), directory.join("link")).unwrap();
    for name in ["secret", "link"] {
        let refused = UnixSocket::bind(&directory.join(name), 0o600).unwrap_err().to_string();
        assert!(refused.contains("exists already and is not a socket"), "{refused}");
    }
    assert_eq!(fs::read(directory.join("link")).unwrap(), b"kept");
    let refused = UnixSocket::bind(&directory.join("none/sock"), 0o600).unwrap_err().to_string();
    assert!(refused.contains("its directory does not exist"), "{refused}");
}
