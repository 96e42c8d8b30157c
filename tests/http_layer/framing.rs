//! Requests that could be read in more than one way, and requests that are none.

use crate::support::Site;

/// Checks that `request` is answered with `status` and the error `code`, that the answer can be read to its end, that
/// nothing of it came to the application, and that others are served after.
#[track_caller]
fn is_refused(request: impl AsRef<[u8]>, status: u16, code: &str) {
    let site = Site::new();
    let mut client = site.connect();
    client.send(request);
    let answer = client.answer();
    assert_eq!(answer.status, status, "{answer:?}");
    let form = format!("{{\"error\":\"{code}\",\"message\":\"");
    assert!(answer.body.starts_with(&form), "{answer:?}");
    assert_eq!(answer.header("Content-Type"), Some("application/json; charset=utf-8"));
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(answer.header("Connection"), Some("close"));
    assert!(answer.header("X-Request-Id").is_some());
    client.sees_the_end();
    assert_eq!(site.app.handled(), 0);
    assert_eq!(site.app.refused(), [status]);
    site.serves_others();
}

/// The same for a request with these lines behind `Host`, and an attempt at another request behind it.
#[track_caller]
fn lines_are_refused(lines: &str, status: u16, code: &str) {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    is_refused(format!("POST / HTTP/1.1\r\nHost: h\r\n{lines}\r\n{smuggled}"), status, code);
}

#[test]
fn a_length_of_100_gigabytes_is_too_large() {
    lines_are_refused("Content-Length: 100000000000\r\n", 413, "too_large");
}

#[test]
fn a_length_beyond_64_bits_is_malformed() {
    lines_are_refused("Content-Length: 18446744073709551616\r\n", 400, "bad_request");
}

#[test]
fn a_negative_length_is_malformed() {
    lines_are_refused("Content-Length: -1\r\n", 400, "bad_request");
}

#[test]
fn a_length_with_a_plus_sign_is_malformed() {
    lines_are_refused("Content-Length: +5\r\n", 400, "bad_request");
}

#[test]
fn an_empty_length_is_malformed() {
    lines_are_refused("Content-Length:\r\n", 400, "bad_request");
}

#[test]
fn a_list_of_lengths_is_malformed() {
    lines_are_refused("Content-Length: 5, 5\r\n", 400, "bad_request");
}

#[test]
fn two_lengths_are_malformed_even_if_they_are_equal() {
    lines_are_refused("Content-Length: 5\r\nContent-Length: 5\r\n", 400, "bad_request");
}

#[test]
fn both_framings_at_once_are_refused_in_either_order() {
    lines_are_refused("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400, "bad_request");
    lines_are_refused("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400, "bad_request");
}

#[test]
fn a_coding_other_than_chunked_is_not_implemented() {
    lines_are_refused("Transfer-Encoding: gzip, chunked\r\n", 501, "not_implemented");
}

#[test]
fn http_1_0_knows_no_transfer_codings() {
    is_refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request");
}

#[test]
fn a_post_without_a_length_is_refused_with_411() {
    lines_are_refused("", 411, "length_required");
}

#[test]
fn a_folded_header_line_is_refused() {
    lines_are_refused("A: b\r\n c\r\n", 400, "bad_request");
}

#[test]
fn a_bare_lf_is_refused() {
    is_refused("GET / HTTP/1.1\nHost: h\n\n", 400, "bad_request");
    lines_are_refused("A: b\nContent-Length: 0\r\n", 400, "bad_request");
}

#[test]
fn a_bare_cr_is_refused() {
    lines_are_refused("A: b\rContent-Length: 0\r\n", 400, "bad_request");
}

#[test]
fn a_nul_is_refused() {
    lines_are_refused("A: b\0c\r\n", 400, "bad_request");
}

#[test]
fn a_space_before_the_colon_is_refused() {
    lines_are_refused("Content-Length : 5\r\n", 400, "bad_request");
}

#[test]
fn http_1_1_needs_a_host() {
    is_refused("GET / HTTP/1.1\r\n\r\n", 400, "bad_request");
}

#[test]
fn two_hosts_are_refused() {
    lines_are_refused("Host: h\r\nContent-Length: 0\r\n", 400, "bad_request");
}

#[test]
fn a_target_that_is_neither_path_nor_address_is_refused() {
    for line in ["CONNECT h:80", "GET *", "GET path", "GET https://h/", "GET /a#b", "GET /caf\u{e9}"] {
        is_refused(format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n"), 400, "bad_request");
    }
}

#[test]
fn another_version_is_not_supported() {
    is_refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "version_not_supported");
}

#[test]
fn what_is_no_http_at_all_is_refused() {
    is_refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad_request");
    is_refused("SSH-2.0-OpenSSH_9.9\r\n\r\n", 400, "bad_request");
}

#[test]
fn another_expectation_than_100_continue_fails() {
    lines_are_refused("Content-Length: 5\r\nExpect: a-miracle\r\n", 417, "expectation_failed");
}

#[test]
fn a_request_that_ends_in_the_middle_is_refused() {
    for part in ["GET / HTTP/1.1\r\nHost: h\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabc"] {
        let site = Site::new();
        let mut client = site.connect();
        client.send(part);
        client.finish();
        assert_eq!(client.answer().status, 400);
        client.sees_the_end();
        assert_eq!(site.app.handled(), 0);
    }
}
