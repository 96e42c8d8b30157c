//! A process that may open no more files still serves. Alone in its file, because the limit is the whole process's.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use jarvis_secretsd::http::{self, Exchange, Handler, Limits};
use rouille::{Request, Response};
use rustix::net::{AddressFamily, SocketType, connect, socket};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[path = "patience/mod.rs"]
mod patience;

use patience::{NEVER, PATIENCE};

struct Hello;

impl Handler for Hello {
    fn handle(&self, _: &Request, _: &[u8], _: &mut Exchange) -> Response {
        Response::text("hello")
    }

    fn refused(&self, _: u16) {}
}

fn is_greeted(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let mut room = [0; 1024];
    while !answer.ends_with(b"hello") {
        match stream.read(&mut room).unwrap() {
            0 => return false,
            count => answer.extend_from_slice(&room[..count]),
        }
    }
    true
}

#[test]
fn without_a_free_descriptor_an_idle_connection_makes_room() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum }).unwrap();

    // Besides 32 files, one is left for each connection and for each request that may wait.
    let limits = Limits::default();
    assert_eq!((limits.capacity(), limits.max_waiting()), (25, 6));

    let listener = http::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let (addr, stats): (SocketAddr, _) = (listener.local_addr().unwrap(), listener.stats().clone());
    let limits = Limits { request_timeout: NEVER, idle_timeout: NEVER, ..Limits::default() };
    let server = listener.serve(limits, Arc::new(Hello)).unwrap();

    let mut idle: Vec<_> = (0..4).map(|_| TcpStream::connect(addr).unwrap()).collect();
    assert!(idle.iter_mut().all(is_greeted));
    let newcomers: Vec<_> = (0..8).map(|_| socket(AddressFamily::INET, SocketType::STREAM, None).unwrap()).collect();

    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    for newcomer in newcomers {
        connect(&newcomer, &addr).unwrap();
        assert!(is_greeted(&mut TcpStream::from(newcomer)));
        // What the newcomer leaves behind is taken away again.
        files.extend(File::open("/dev/null"));
    }
    assert!(stats.evicted() >= 1);

    drop(files);
    assert!(is_greeted(&mut TcpStream::connect(addr).unwrap()));
    server.stop(PATIENCE);
}
