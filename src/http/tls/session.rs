//! TLS on one connection: the handshake, and reading and writing after it, within limits of time.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConnection;

use super::super::socket::Socket;
use super::super::wire::{Wire, time_left};
use super::material::Material;
use super::{CertificateName, Tls};

/// The first byte of a TLS connection: the record type `handshake` (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

pub struct Session {
    tls: Box<ServerConnection>,
    /// By what the client's certificate was last verified, if it has one, and in which second of the Unix epoch.
    verified: (Arc<Material>, u64),
}

/// What a client has sent that was not read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    Nothing,
    /// A part of a request, or more.
    Request,
    /// That it sends nothing more.
    End,
}

/// Why a connection does not speak TLS.
#[derive(Debug)]
pub enum Unsecured {
    /// The client speaks something else; most likely plain HTTP.
    Plain,
    /// The client's certificate is not one that the client CA stands for; the client was told so.
    Distrusted(rustls::CertificateError),
    /// The client speaks TLS, but not such that we agree; it was told so.
    Failed(rustls::Error),
    /// The client has gone or is too slow.
    Broken(io::Error),
}

impl From<io::Error> for Unsecured {
    fn from(why: io::Error) -> Self {
        Self::Broken(why)
    }
}

impl Session {
    /// Agrees with the client upon keys, within `timeout`, and verifies its certificate if it presents one.
    ///
    /// # Errors
    /// As [`Unsecured`] says. If the client is too slow, the kind of the error is `TimedOut`.
    pub fn begin(wire: &mut Wire, tls: &Tls, timeout: Duration) -> Result<Self, Unsecured> {
        let deadline = Instant::now() + timeout;
        match wire.peek(timeout)? {
            Some(HANDSHAKE) => {}
            Some(_) => return Err(Unsecured::Plain),
            None => return Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
        }
        let (material, second) = (tls.in_force(), tls.clock.now().seconds());
        let connection = ServerConnection::new(material.server.clone()).map_err(Unsecured::Failed)?;
        let mut session = Self { tls: Box::new(connection), verified: (material, second) };
        while session.tls.is_handshaking() {
            session.receive(wire, time_left(deadline)?)?;
            let processed = session.tls.process_new_packets();
            // Also the alert that says what is wrong.
            let sent = time_left(deadline).and_then(|left| session.flush(wire, left));
            processed.map_err(|why| match why {
                rustls::Error::InvalidCertificate(why) => Unsecured::Distrusted(why),
                why => Unsecured::Failed(why),
            })?;
            sent?;
        }
        Ok(session)
    }

    /// The names in the client's certificate, which was verified; none if it has presented none.
    pub fn client_names(&self) -> Vec<CertificateName> {
        let end_entity = self.tls.peer_certificates().and_then(<[_]>::first);
        end_entity.map(CertificateName::all_in).unwrap_or_default()
    }

    /// Whether the client would still be let in with its certificate, if it has one: that has not expired, and the client CA
    /// in force by now stands for it.
    ///
    /// Certificates are valid from one whole second to another, so one that was verified in this second, by what is in force,
    /// is not verified again.
    ///
    /// # Errors
    /// Says why it would not.
    pub fn verify_again(&mut self, tls: &Tls) -> Result<(), String> {
        let Some(chain) = self.tls.peer_certificates() else { return Ok(()) };
        let (material, now) = (tls.in_force(), tls.clock.now());
        let (verified_by, second) = &self.verified;
        if !Arc::ptr_eq(verified_by, &material) || *second != now.seconds() {
            material.verify(chain, now).map_err(|why| match why {
                rustls::Error::InvalidCertificate(why) => why.to_string(),
                why => why.to_string(),
            })?;
            self.verified = (material, now.seconds());
        }
        Ok(())
    }

    /// As [`Wire::read`]. An end without `close_notify` is an error of the kind `UnexpectedEof`.
    pub fn read(&mut self, wire: &mut Wire, room: &mut [u8], timeout: Duration) -> io::Result<usize> {
        let deadline = Instant::now() + timeout;
        let mut wait = timeout;
        loop {
            match self.tls.reader().read(room) {
                Err(why) if why.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            self.receive(wire, wait)?;
            let processed = self.tls.process_new_packets();
            wait = time_left(deadline)?;
            self.flush(wire, wait)?;
            processed.map_err(|why| io::Error::new(ErrorKind::InvalidData, why))?;
        }
    }

    /// What the client has sent, as far as it was taken in. What is not TLS is the end.
    pub fn heard(&mut self) -> Heard {
        match self.tls.process_new_packets() {
            Ok(state) if state.peer_has_closed() => Heard::End,
            Ok(state) if state.plaintext_bytes_to_read() > 0 => Heard::Request,
            Ok(_) => Heard::Nothing,
            Err(_) => Heard::End,
        }
    }

    /// Takes in what has come at `socket`, such that it is read later, and says what it is.
    pub fn listen(&mut self, socket: &Socket) -> Heard {
        match self.tls.read_tls(&mut Arrived(socket)) {
            Ok(1..) => self.heard(),
            Err(why) if why.kind() == ErrorKind::WouldBlock => Heard::Nothing,
            Ok(0) | Err(_) => Heard::End,
        }
    }

    /// As [`Wire::write`].
    pub fn write(&mut self, wire: &mut Wire, parts: [&[u8]; 2], timeout: Duration) -> io::Result<()> {
        let deadline = Instant::now() + timeout;
        let mut wait = timeout;
        for mut part in parts {
            while !part.is_empty() {
                let count = self.tls.writer().write(part)?;
                part = &part[count..];
                if !part.is_empty() {
                    self.flush(wire, wait)?;
                    wait = time_left(deadline)?;
                }
            }
        }
        self.flush(wire, wait)
    }

    /// Tells the client that nothing more will be written.
    pub fn finish(&mut self, wire: &mut Wire, timeout: Duration) -> io::Result<()> {
        self.tls.send_close_notify();
        self.flush(wire, timeout)
    }

    /// The same without ever waiting for the client, for a connection that nothing is read from any more.
    pub fn dismiss(&mut self, wire: &mut Wire) -> io::Result<()> {
        wire.link.stream.set_nonblocking(true)?;
        self.tls.send_close_notify();
        self.flush(wire, Duration::from_secs(1))
    }

    /// Waits for something to come in; the end of the connection is also something.
    fn receive(&mut self, wire: &mut Wire, timeout: Duration) -> io::Result<()> {
        let is_handshaking = self.tls.is_handshaking();
        match self.tls.read_tls(&mut Incoming { wire, timeout })? {
            0 if is_handshaking => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn flush(&mut self, wire: &mut Wire, timeout: Duration) -> io::Result<()> {
        let deadline = Instant::now() + timeout;
        let mut timeout = timeout;
        while self.tls.wants_write() {
            self.tls.write_tls(&mut Outgoing { wire, timeout })?;
            timeout = time_left(deadline)?;
        }
        Ok(())
    }
}

struct Incoming<'a, 'w> {
    wire: &'a mut Wire<'w>,
    timeout: Duration,
}

impl Read for Incoming<'_, '_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.wire.read(room, self.timeout)
    }
}

/// What has arrived, without waiting for more.
struct Arrived<'a>(&'a Socket);

impl Read for Arrived<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.read_now(room)
    }
}

struct Outgoing<'a, 'w> {
    wire: &'a mut Wire<'w>,
    timeout: Duration,
}

impl Write for Outgoing<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    /// Two records at a time: mostly those with an answer's head and its body.
    fn write_vectored(&mut self, records: &[IoSlice<'_>]) -> io::Result<usize> {
        let record = |index: usize| records.get(index).map_or(&[][..], |record| record);
        self.wire.write([record(0), record(1)], self.timeout)?;
        Ok(record(0).len() + record(1).len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
