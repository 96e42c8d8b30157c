//! Where we and nginx see different requests in the same bytes, and why that does no harm.

/// The reason, and the requests to which it applies.
pub const DIFFERENCES: &[(&str, &[&str])] = &[
    // We refuse, nginx lets through: the second request is then seen by nobody behind us.
    (
        "nginx takes a bare LF for the end of a line, and a CR before it or without it for a blank",
        &[
            r"chunks `5;x\nhello\r\n0\r\n\r\n`",
            r"chunks `5\nhello\r\n0\r\n\r\n`",
            r"chunks `5\r\nhello\n0\r\n\r\n`",
            r"chunks `5\r\nhell\r\n0\r\n\r\n`",
            r"chunks `0\n\n`",
            r"chunks `0\r\n\n`",
            r"chunks `0\n\r\n`",
            r"chunks `0\r\nX: y\n\r\n`",
            r"ends `GET /first HTTP/1.1\nHost: h\n\n`",
            r"ends `GET /first HTTP/1.1\r\nHost: h\n\r\n`",
            r"ends `GET /first HTTP/1.1\nHost: h\r\n\r\n`",
            r"ends `GET /first HTTP/1.1\r\nHost: h\r\n\n`",
            r"ends `GET /first HTTP/1.1\r\nHost: h\n\n`",
            r"ends `GET /first HTTP/1.1\r\nHost: h\r\r\n\r\n`",
            r"ends `\nGET /first HTTP/1.1\r\nHost: h\r\n\r\n`",
            r"ends `\rGET /first HTTP/1.1\r\nHost: h\r\n\r\n`",
        ],
    ),
    (
        "nginx passes over any number of empty lines before a request; we over one",
        &[r"ends `\r\n\r\n\r\nGET /first HTTP/1.1\r\nHost: h\r\n\r\n`"],
    ),
    (
        "nginx passes over blanks and control characters in the line of a chunk's size",
        &[
            r"chunks `5 \r\nhello\r\n0\r\n\r\n`",
            r"chunks `5\t\r\nhello\r\n0\r\n\r\n`",
            r"chunks `5 ; x\r\nhello\r\n0\r\n\r\n`",
            r"chunks `5;x\u{0}\r\nhello\r\n0\r\n\r\n`",
            r"chunks `5 5\r\nhello\r\n0\r\n\r\n`",
            r"chunks `0 \r\n\r\n`",
        ],
    ),
    (
        "nginx reads a chunk's size of any number of digits; we of at most 16",
        &[r"chunks `0000000000000000000005\r\nhello\r\n0\r\n\r\n`"],
    ),
    ("nginx does not look at trailers", &[r"chunks `0\r\nX: \u{0}\r\n\r\n`"]),
    (
        "nginx leaves out a header line whose name is malformed",
        &[
            "lines `Content_Length: 5`",
            "lines `Content-Length;: 5`",
            "header `X`",
            "header `X(Y): z`",
            r"header `X\xe9: y`",
            "header `X/Y: z`",
            r#"header `\"X\": y`"#,
            "header `X@: y`",
        ],
    ),
    (
        "nginx passes on a header value with control characters, or in another encoding than UTF-8",
        &[r"header `X: \x01`", r"header `X: \x7f`", r"header `X: \x1b[31m`", r"header `X: \xe9`"],
    ),
    (
        "nginx is lenient about blanks in the request line",
        &["line `GET  /first HTTP/1.1`", "line `GET /first  HTTP/1.1`", "line `GET /first HTTP/1.1 `"],
    ),
    ("nginx reads any HTTP/1 as HTTP/1.1", &["line `GET /first HTTP/1.2`", "line `GET /first HTTP/1.10`"]),
    ("nginx speaks HTTP/0.9, in which an answer has no head", &["line `GET /first`", "line `GET /first `"]),
    (
        "nginx takes any scheme, a fragment, and bytes that must be percent-encoded",
        &[
            "line `GET https://h/first HTTP/1.1`",
            "line `GET ftp://h/first HTTP/1.1`",
            "line `GET /first#part HTTP/1.1`",
            r"line `GET /fi\xc3\xa9 HTTP/1.1`",
        ],
    ),
    (
        "nginx takes a host that is no name and no address",
        &[r"host `Host: u@h\r\n`", r"host `Host: h\\i\r\n`", r"host `Host: h?\r\n`", r"host `Host: \u{e9}\r\n`"],
    ),
    (
        "nginx lets methods pass whose body has no length; it then sends us a length",
        &["PUT without a body", "PATCH without a body"],
    ),
    (
        "nginx passes over expectations that it does not understand",
        &["expect `200-ok`", "expect `100-continue, x`", "expect ``"],
    ),
    ("nginx has room for more lines", &["70 lines"]),
    (
        "nginx says nothing to a request that ends in its middle; we say what is wrong",
        &["half a request line", "half a head", "half a body", "half a chunk"],
    ),
    // nginx refuses, we let through: as the text allows, and it never comes to us through nginx.
    (
        "nginx takes no tab around a value that it reads itself (RFC 9110, section 5.6.3, allows it)",
        &[r"length `\t5`", r"length ` 5\t`", r"coding `\tchunked`", r"coding ` chunked\t`"],
    ),
    (
        "nginx takes only upper case for a method; we any token (RFC 9110, section 9.1), which then has no route",
        &["length ` 0`", "length ` 00`", "line `get /first HTTP/1.1`"],
    ),
    (
        "nginx does not pass these methods on; we leave them to the application, which answers 405",
        &["line `OPTIONS * HTTP/1.1`", "line `TRACE /first HTTP/1.1`"],
    ),
    (
        "nginx decodes a target and refuses what comes out; we hand it on as it came",
        &["target `/%2e%2e/first`", "target `/first%00`", "target `/%`", "target `/%zz`"],
    ),
    ("nginx has less room for one line", &["a line of 9 KiB"]),
    (
        "nginx takes no host that is empty or of dots alone (RFC 3986, section 3.2.2, allows it)",
        &[r"host `Host:\r\n`", r"host `Host: .\r\n`", r"host `Host: ..\r\n`"],
    ),
    ("nginx takes one Expect only; we the same one twice", &[r"expect `100-continue\r\nExpect: 100-continue`"]),
];
