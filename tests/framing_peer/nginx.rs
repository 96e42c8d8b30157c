//! A real nginx, as it stands in front of an application.

use std::fs;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::patience::{PATIENCE, eventually};
use crate::seen::SeenRequests;
use crate::until_closed;

/// A proxy and, behind it, what says of each request that it was seen: as the proxy passed it on, so that its body was
/// read to the end. It ends with the test.
pub struct Nginx {
    process: Child,
    directory: PathBuf,
}

impl Nginx {
    /// Starts one, and waits until it listens.
    pub fn start() -> Self {
        let directory = std::env::temp_dir().join(format!("jarvis-framing-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        let at = directory.display();
        let configuration = format!(
            r#"
            daemon off;
            master_process off;
            pid {at}/pid;
            error_log {at}/log;
            events {{}}
            http {{
                access_log off;
                client_body_temp_path {at}/body;
                proxy_temp_path {at}/proxy;
                fastcgi_temp_path {at}/fastcgi;
                uwsgi_temp_path {at}/uwsgi;
                scgi_temp_path {at}/scgi;
                lingering_timeout 1s;
                map $content_length $length {{ default $content_length; "" 0; }}
                # As we tell it to an application.
                map $request_method $method {{ default $request_method; HEAD GET; }}
                server {{
                    listen unix:{at}/front;
                    location / {{
                        proxy_pass http://unix:{at}/back:;
                        proxy_http_version 1.1;
                        # We end our side of the connection at once, so that both servers come to an end as well.
                        proxy_ignore_client_abort on;
                    }}
                }}
                server {{
                    listen unix:{at}/back;
                    add_header Seen "$method $request_uri $length";
                    location / {{ return 200 ""; }}
                }}
            }}"#
        );
        let file = directory.join("nginx.conf");
        fs::write(&file, configuration).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-c").arg(file).arg("-p").arg(&directory).arg("-e").arg(directory.join("log"));
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut nginx = Self { process, directory };
        eventually("nginx listens", || {
            let log = fs::read_to_string(nginx.directory.join("log")).unwrap_or_default();
            assert!(nginx.process.try_wait().unwrap().is_none(), "nginx ended: {log}");
            nginx.connect()
        });
        nginx
    }

    fn connect(&self) -> Option<UnixStream> {
        UnixStream::connect(self.directory.join("front")).ok()
    }

    /// Sends `bytes` and nothing behind them.
    pub fn ask(&self, bytes: &[u8]) -> SeenRequests {
        let mut stream = self.connect().expect("nginx listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
        SeenRequests::of(&until_closed(stream))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
