//! The odd requests, by name.

/// Behind most of them: what a smuggler wants to be seen, or not.
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: h\r\n\r\n";

type Requests = Vec<(String, Vec<u8>)>;

/// All of them.
pub fn requests() -> Requests {
    let mut all = Requests::new();
    all.extend(lengths());
    all.extend(two_framings());
    all.extend(codings());
    all.extend(chunks());
    all.extend(line_ends());
    all.extend(request_lines());
    all.extend(header_lines());
    all.extend(hosts());
    all.extend(conversations());
    all
}

fn named(name: impl Into<String>, text: impl AsRef<[u8]>) -> (String, Vec<u8>) {
    (name.into(), [text.as_ref(), NEXT.as_bytes()].concat())
}

/// What may stand behind `Content-Length:`, for a body of five bytes.
fn lengths() -> Requests {
    let values = [
        " 5",
        "5",
        "\t5",
        " 5 ",
        " 5\t",
        " 05",
        " 000000000000000000005",
        " +5",
        " -5",
        " -0",
        " 5,5",
        " 5, 5",
        " 5;5",
        " 5 5",
        " 0x5",
        " 5.0",
        " 5e0",
        " 0b101",
        " \"5\"",
        " '5'",
        " five",
        "",
        " ",
        " ,5",
        " 5,",
        " 5\x0b",
        " 5\x0c",
        " 5\x7f",
        " 5\u{a0}",
        " \u{665}",
        " 5_0",
        " 1048577",
        " 9223372036854775807",
        " 9223372036854775808",
        " 18446744073709551615",
        " 18446744073709551616",
        " 18446744073709551621",
        " 4294967301",
        " 99999999999999999999999999",
        " 0",
        " 00",
    ];
    values
        .map(|value| {
            let text = format!("POST /first HTTP/1.1\r\nHost: h\r\nContent-Length:{value}\r\n\r\nhello");
            named(format!("length `{}`", value.escape_default()), text)
        })
        .into()
}

/// More than one line that says where the body ends, or one that nearly does.
fn two_framings() -> Requests {
    let lines = [
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 0\r\nContent-Length: 5",
        "Content-Length: 5\r\ncontent-length: 0",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nTransfer-Encoding: identity",
        "Content-Length: 5\r\nTransfer-Encoding:",
        "Content-Length: 5\r\nTransfer-Encoding : chunked",
        "Content-Length: 5\r\n Transfer-Encoding: chunked",
        "Content-Length: 5\r\nTransfer_Encoding: chunked",
        "Content-Length: 5\r\nTransfer-Encoding\0: chunked",
        "Content-Length: 5\r\nX: y\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nX: y\rTransfer-Encoding: chunked",
        "Content-Length: 5\r\nX: y\r\n\tTransfer-Encoding: chunked",
        "Content-Length: 5\r\nTE: chunked",
        "Content-Length: 5\r\nTrailer: X",
        "Content-Length : 5",
        "Content-Length\t: 5",
        " Content-Length: 5",
        "Content_Length: 5",
        "Content-Length;: 5",
        "CONTENT-LENGTH: 5",
        "X: y\r\n Content-Length: 5",
    ];
    lines
        .map(|lines| {
            let text = format!("POST /first HTTP/1.1\r\nHost: h\r\n{lines}\r\n\r\nhello");
            named(format!("lines `{}`", lines.escape_default()), text)
        })
        .into()
}

/// What may stand behind `Transfer-Encoding:`, for a body of one chunk.
fn codings() -> Requests {
    let values = [
        " chunked",
        "chunked",
        " Chunked",
        " CHUNKED",
        "\tchunked",
        " chunked ",
        " chunked\t",
        " chunked,",
        " ,chunked",
        " chunked, chunked",
        " gzip, chunked",
        " chunked, gzip",
        " gzip",
        " identity",
        " identity, chunked",
        " chunked, identity",
        " xchunked",
        " chunkedx",
        " chunked;q=1",
        " \"chunked\"",
        " chun ked",
        " \x0bchunked",
        " chunked\x0c",
        " chunked\x0b",
        " chunked\0",
        " chunke\u{212a}",
        " x",
        "",
        " ",
        " chunked\r\nTransfer-Encoding: chunked",
        " chunked\r\nTransfer-Encoding: identity",
        " identity\r\nTransfer-Encoding: chunked",
        " chunked\r\n ",
        "\r\n chunked",
    ];
    let mut all: Requests = values
        .map(|value| {
            let text =
                format!("POST /first HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:{value}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
            named(format!("coding `{}`", value.escape_default()), text)
        })
        .into();
    let old =
        "POST /first HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    all.push(named("coding in HTTP/1.0", old));
    all
}

/// What may stand behind the head of a request whose body is chunked.
fn chunks() -> Requests {
    let bodies = [
        "5\r\nhello\r\n0\r\n\r\n",
        "05\r\nhello\r\n0\r\n\r\n",
        "0000000000000000000005\r\nhello\r\n0\r\n\r\n",
        "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
        "A\r\nhellohello\r\n0\r\n\r\n",
        "a\r\nhellohello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\t\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5;x\r\nhello\r\n0\r\n\r\n",
        "5;x=y\r\nhello\r\n0\r\n\r\n",
        "5;x=\"y;z\"\r\nhello\r\n0\r\n\r\n",
        "5 ; x\r\nhello\r\n0\r\n\r\n",
        "5;\r\nhello\r\n0\r\n\r\n",
        "5;x\nhello\r\n0\r\n\r\n",
        "5;x\rhello\r\n0\r\n\r\n",
        "5;x\0\r\nhello\r\n0\r\n\r\n",
        "5x\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5_\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\r\nhell\r\n0\r\n\r\n",
        "5\r\nhellos\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "7fffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "100001\r\nhello\r\n0\r\n\r\n",
        "0\r\n\r\n",
        "00\r\n\r\n",
        "0;x\r\n\r\n",
        "0 \r\n\r\n",
        "0\n\n",
        "0\r\n\n",
        "0\n\r\n",
        "0\r\nX: y\r\n\r\n",
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "0\r\nX y\r\n\r\n",
        "0\r\n X: y\r\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\n: y\r\n\r\n",
        "0\r\nX: \0\r\n\r\n",
        "0\r\n",
        "5\r\nhello\r\n",
    ];
    bodies
        .map(|body| {
            let text = format!("POST /first HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
            named(format!("chunks `{}`", body.escape_default()), text)
        })
        .into()
}

/// Lines that end in other ways than with CR LF.
fn line_ends() -> Requests {
    let heads = [
        "GET /first HTTP/1.1\nHost: h\n\n",
        "GET /first HTTP/1.1\r\nHost: h\n\r\n",
        "GET /first HTTP/1.1\nHost: h\r\n\r\n",
        "GET /first HTTP/1.1\r\nHost: h\r\n\n",
        "GET /first HTTP/1.1\r\nHost: h\n\n",
        "GET /first HTTP/1.1\r\nHost: h\r\r\n\r\n",
        "GET /first HTTP/1.1\r\nHost: h\r\n\r\r\n",
        "GET /first HTTP/1.1\rHost: h\r\r",
        "GET /first HTTP/1.1\r\r\nHost: h\r\n\r\n",
        "\r\nGET /first HTTP/1.1\r\nHost: h\r\n\r\n",
        "\r\n\r\n\r\nGET /first HTTP/1.1\r\nHost: h\r\n\r\n",
        "\nGET /first HTTP/1.1\r\nHost: h\r\n\r\n",
        "\rGET /first HTTP/1.1\r\nHost: h\r\n\r\n",
        " GET /first HTTP/1.1\r\nHost: h\r\n\r\n",
        "\0GET /first HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /first HTTP/1.1\r\n\r\nHost: h\r\n\r\n",
    ];
    heads.map(|head| named(format!("ends `{}`", head.escape_default()), head)).into()
}

/// Request lines; `Host: h` follows.
fn request_lines() -> Requests {
    let lines: [&[u8]; 53] = [
        b"GET /first HTTP/1.1",
        b"GET  /first HTTP/1.1",
        b"GET\t/first HTTP/1.1",
        b"GET /first  HTTP/1.1",
        b"GET /first\tHTTP/1.1",
        b"GET /first HTTP/1.1 ",
        b"GET /fi rst HTTP/1.1",
        b"GET /first",
        b"GET /first ",
        b"GET HTTP/1.1",
        b"GET",
        b"/first HTTP/1.1",
        b"GET /first HTTP/0.9",
        b"GET /first HTTP/1.2",
        b"GET /first HTTP/1.10",
        b"GET /first HTTP/01.1",
        b"GET /first HTTP/2.0",
        b"GET /first HTTP/3.0",
        b"GET /first http/1.1",
        b"GET /first HTTP/1.1x",
        b"GET /first HTTP /1.1",
        b"GET /first HTTP/1,1",
        b"GET /first HTTP/",
        b"GET /first HTTPS/1.1",
        b"get /first HTTP/1.1",
        b"G\0T /first HTTP/1.1",
        b"G(T /first HTTP/1.1",
        b"GET: /first HTTP/1.1",
        b"BREW /first HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"GET * HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"OPTIONS /first HTTP/1.1",
        b"TRACE /first HTTP/1.1",
        b"CONNECT h:80 HTTP/1.1",
        b"CONNECT /first HTTP/1.1",
        b"GET first HTTP/1.1",
        b"GET h:80 HTTP/1.1",
        b"GET http://h/first HTTP/1.1",
        b"GET HTTP://h/first HTTP/1.1",
        b"GET http://other/first HTTP/1.1",
        b"GET http://h HTTP/1.1",
        b"GET http:///first HTTP/1.1",
        b"GET http:/first HTTP/1.1",
        b"GET https://h/first HTTP/1.1",
        b"GET ftp://h/first HTTP/1.1",
        b"GET http://u@h/first HTTP/1.1",
        b"GET /first#part HTTP/1.1",
        b"GET /fi\\rst HTTP/1.1",
        b"GET /first\0 HTTP/1.1",
        b"GET /fi\xc3\xa9 HTTP/1.1",
        b"GET /fi\x7f HTTP/1.1",
        b"GET ?first HTTP/1.1",
    ];
    let mut all: Requests = lines
        .map(|line| named(format!("line `{}`", line.escape_ascii()), [line, b"\r\nHost: h\r\n\r\n"].concat()))
        .into();
    for target in [
        "//first",
        "/a/../first",
        "/a/..%2ffirst",
        "/%2e%2e/first",
        "/first%00",
        "/first%0d%0aX:y",
        "/%252e",
        "/%",
        "/%zz",
        "/a;b",
        "/first?",
        "/first?a=b?c",
        "/first?a b",
    ] {
        all.push(named(format!("target `{target}`"), format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n")));
    }
    all
}

/// Header lines, behind `Host`.
fn header_lines() -> Requests {
    let lines: [&[u8]; 25] = [
        b"X: y",
        b"X:",
        b"X:y",
        b"X : y",
        b"X\t: y",
        b" X: y",
        b"X",
        b": y",
        b"X y",
        b"X: y\r\n z",
        b"X:\r\n y",
        b"X: \0",
        b"X: \x01",
        b"X: \x7f",
        b"X: \x1b[31m",
        b"X: \xe9",
        b"X: \xc3\xa9",
        b"X_Y: z",
        b"X(Y): z",
        b"X\xe9: y",
        b"X\0: y",
        b"X/Y: z",
        b"\"X\": y",
        b"X: y\rZ: a",
        b"X@: y",
    ];
    let mut all: Requests = lines
        .map(|line| {
            let text = [b"GET /first HTTP/1.1\r\nHost: h\r\n", line, b"\r\n\r\n"].concat();
            named(format!("header `{}`", line.escape_ascii()), text)
        })
        .into();
    let many = |count: usize| "X: y\r\n".repeat(count);
    let long = |count: usize| format!("X: {}\r\n", "y".repeat(count));
    for (name, lines) in [
        ("60 lines", many(60)),
        ("70 lines", many(70)),
        ("a line of 7 KiB", long(7 << 10)),
        ("a line of 9 KiB", long(9 << 10)),
        ("a line of 20 KiB", long(20 << 10)),
        ("a head of 40 KiB", long(4 << 10).repeat(10)),
    ] {
        all.push(named(name, format!("GET /first HTTP/1.1\r\nHost: h\r\n{lines}\r\n")));
    }
    all
}

/// The lines that say which host is meant.
fn hosts() -> Requests {
    let lines = [
        "",
        "Host:\r\n",
        "Host: h\r\nHost: h\r\n",
        "Host: h\r\nHost: i\r\n",
        "Host: h:80\r\n",
        "Host: h:\r\n",
        "Host: h:x\r\n",
        "Host: h:99999\r\n",
        "Host: h/first\r\n",
        "Host: u@h\r\n",
        "Host: h i\r\n",
        "Host: h,i\r\n",
        "Host: [::1]\r\n",
        "Host: [::1\r\n",
        "Host: h\\i\r\n",
        "Host: h?\r\n",
        "Host: .\r\n",
        "Host: ..\r\n",
        "Host: h\0\r\n",
        "Host: \u{e9}\r\n",
        "Host: h%\r\n",
        "HOST: h\r\n",
        "Host : h\r\n",
        "Host: h\r\n i\r\n",
    ];
    let mut all: Requests = lines
        .map(|line| {
            let text = format!("GET /first HTTP/1.1\r\n{line}\r\n");
            named(format!("host `{}`", line.escape_default()), text)
        })
        .into();
    all.push(named("no host in HTTP/1.0", "GET /first HTTP/1.0\r\n\r\n"));
    all.push(named("no host in HTTP/1.0 kept alive", "GET /first HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    all
}

/// Bodies where none is usual, and what they say of the connection besides.
fn conversations() -> Requests {
    let mut all = Requests::new();
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "PUT", "PATCH", "BREW"] {
        let with = |lines: &str, body: &str| format!("{method} /first HTTP/1.1\r\nHost: h\r\n{lines}\r\n{body}");
        all.push(named(format!("{method} with a length"), with("Content-Length: 5\r\n", "hello")));
        all.push(named(
            format!("{method} with chunks"),
            with("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        ));
        all.push(named(format!("{method} without a body"), with("", "")));
    }
    for lines in [
        "Connection: close",
        "Connection: keep-alive",
        "Connection: close, keep-alive",
        "Connection: Close",
        "Connection: x",
        "Connection: x, close",
        "Connection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
        "Connection: Content-Length",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: close",
    ] {
        let text = format!("GET /first HTTP/1.1\r\nHost: h\r\n{lines}\r\n\r\n");
        all.push(named(format!("said `{}`", lines.escape_default()), text));
    }
    for lines in
        ["100-continue", "100-Continue", "200-ok", "100-continue, x", "", "100-continue\r\nExpect: 100-continue"]
    {
        let text = format!("POST /first HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: {lines}\r\n\r\nhello");
        all.push(named(format!("expect `{}`", lines.escape_default()), text));
    }
    for (name, text) in [
        ("nothing", ""),
        ("half a request line", "GET /fi"),
        ("half a head", "GET /first HTTP/1.1\r\nHo"),
        ("half a body", "POST /first HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel"),
        ("half a chunk", "POST /first HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"),
        ("a TLS hello", "\x16\x03\x01\x02\0\x01\0\x01\u{7c}\x03\x03"),
        ("a socks greeting", "\x05\x01\0"),
        ("an ssh greeting", "SSH-2.0-OpenSSH_9.2\r\n"),
        ("a proxy line", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET /first HTTP/1.1\r\nHost: h\r\n\r\n"),
    ] {
        all.push((name.to_owned(), text.as_bytes().to_vec()));
    }
    all
}
