//! What a call can come to that was not carried out, and what an answer of etcd means.

use std::fmt;

use super::answer::Problem;
use crate::base::failure::printable;

/// Why a call was not carried out, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// There was no answer in time: it may have been carried out, or may yet be. Says what went wrong last.
    Unavailable(String),
    /// The database is full. It stays so until an operator makes room and disarms the alarm.
    NoSpace,
    /// A request is larger than etcd takes.
    TooLarge(String),
    /// The lease that is named is not there any more.
    LeaseGone,
    /// A user, a permission, or something else that trying again does not mend.
    Refused(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => write!(f, "etcd does not answer: {why}"),
            Self::NoSpace => f.write_str(
                "etcd has no space left: its database is full; compact and defragment it or raise its quota, then: etcdctl \
                 alarm disarm",
            ),
            Self::TooLarge(why) => write!(f, "too large for etcd: {why}"),
            Self::LeaseGone => f.write_str("the lease in etcd is not there any more"),
            Self::Refused(why) => write!(f, "etcd refuses it: {why}"),
        }
    }
}

impl std::error::Error for Error {}

/// What an answer means for a call.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is what was asked for, if it can be read.
    Fine,
    /// Another token has to be asked for, and the call repeated.
    TokenRefused(String),
    /// Another endpoint may carry it out, or this one later.
    Elsewhere(String),
    Final(Error),
}

/// What an answer with this status and body means. Whatever is not known for certain to be final is not: a member that is in
/// trouble may answer anything.
pub fn judge(status: u16, body: &[u8]) -> Verdict {
    if status == 200 {
        return Verdict::Fine;
    }
    match Problem::read(body) {
        Some(problem) => meaning(status, &problem),
        None => Verdict::Elsewhere(format!("status {status}")),
    }
}

/// What a problem means that came with this status.
pub fn meaning(status: u16, problem: &Problem) -> Verdict {
    let says = |words: &str| problem.message.contains(words);
    let told = || printable(&problem.message);
    match problem.code {
        _ if status >= 500 => Verdict::Elsewhere(told()),
        16 => Verdict::TokenRefused(told()),
        3 if says("user name is empty") || says("revision of auth store is old") => Verdict::TokenRefused(told()),
        3 if says("too large") || says("too many operations") => Verdict::Final(Error::TooLarge(told())),
        8 if says("database space exceeded") => Verdict::Final(Error::NoSpace),
        8 if says("larger than max") => Verdict::Final(Error::TooLarge(told())),
        5 if says("lease not found") => Verdict::Final(Error::LeaseGone),
        3 | 6 | 11 => Verdict::Final(Error::Refused(told())),
        7 => Verdict::Final(Error::Refused(format!(
            "{}; the role of its user needs permission to read and write every key with the prefix",
            told()
        ))),
        9 if says("authentication is not enabled") => Verdict::Final(Error::Refused(told())),
        _ => Verdict::Elsewhere(told()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, code: u32, message: &str) -> Verdict {
        judge(status, format!(r#"{{"code":{code},"message":"{message}"}}"#).as_bytes())
    }

    #[test]
    fn each_problem_that_is_final_has_its_error() {
        let refused = |message: &str| Verdict::Final(Error::Refused(message.to_owned()));
        let too_large = |message: &str| Verdict::Final(Error::TooLarge(message.to_owned()));
        for (status, code, message, verdict) in [
            (429, 8, "etcdserver: mvcc: database space exceeded", Verdict::Final(Error::NoSpace)),
            (
                429,
                8,
                "grpc: received message larger than max (3 vs. 2)",
                too_large("grpc: received message larger than max (3 vs. 2)"),
            ),
            (400, 3, "etcdserver: request is too large", too_large("etcdserver: request is too large")),
            (
                400,
                3,
                "etcdserver: too many operations in txn request",
                too_large("etcdserver: too many operations in txn request"),
            ),
            (404, 5, "etcdserver: requested lease not found", Verdict::Final(Error::LeaseGone)),
            (
                400,
                3,
                "etcdserver: duplicate key given in txn request",
                refused("etcdserver: duplicate key given in txn request"),
            ),
        ] {
            assert_eq!(of(status, code, message), verdict);
        }
        let Verdict::Final(Error::Refused(why)) = of(403, 7, "etcdserver: permission denied") else { panic!() };
        assert!(why.starts_with("etcdserver: permission denied; the role"), "{why}");
    }

    #[test]
    fn whatever_another_member_may_answer_otherwise_is_not_final() {
        for (status, code, message) in [
            (503, 14, "etcdserver: leader changed"),
            (503, 14, "etcdserver: no leader"),
            (504, 4, "context deadline exceeded"),
            (500, 2, "etcdserver: mvcc: database space exceeded"),
            (429, 8, "etcdserver: too many requests"),
            (400, 9, "etcdserver: not leader"),
            (404, 5, "Not Found"),
            (499, 1, "context canceled"),
            (409, 10, "aborted"),
        ] {
            assert_eq!(of(status, code, message), Verdict::Elsewhere(message.to_owned()), "{status}");
        }
        for (status, body) in
            [(404, "404 page not found"), (400, ""), (429, "{}"), (301, "{\"code\":0}"), (502, "<html>")]
        {
            assert_eq!(judge(status, body.as_bytes()), Verdict::Elsewhere(format!("status {status}")));
        }
    }

    #[test]
    fn a_token_is_refused_in_several_ways() {
        for (status, code, message) in [
            (401, 16, "etcdserver: invalid auth token"),
            (400, 3, "etcdserver: user name is empty"),
            (400, 3, "etcdserver: revision of auth store is old"),
        ] {
            assert_eq!(of(status, code, message), Verdict::TokenRefused(message.to_owned()));
        }
    }

    #[test]
    fn a_problem_of_a_stream_and_one_of_an_older_version_are_understood() {
        let older = br#"{"error":"etcdserver: requested lease not found","message":"etcdserver: requested lease not found","code":5}"#;
        assert_eq!(judge(404, older), Verdict::Final(Error::LeaseGone));
        let streams = br#"{"error":{"grpc_code":16,"http_code":401,"message":"etcdserver: invalid auth token","http_status":"Unauthorized"}}"#;
        assert_eq!(judge(401, streams), Verdict::TokenRefused("etcdserver: invalid auth token".to_owned()));
    }

    #[test]
    fn what_etcd_says_stands_in_a_message_as_one_short_line() {
        let Verdict::Elsewhere(why) = of(503, 14, &"\\u001b".repeat(1000)) else { panic!() };
        assert!(why.len() < 3000 && why.starts_with("\\u{1b}"), "{why}");
    }
}
