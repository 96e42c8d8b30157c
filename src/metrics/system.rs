//! What the system says of this process and of the disks under it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use rustix::fs::{Dir, fstatvfs};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::text::{Page, rounded_down, rounded_up};
use crate::base::files;
use crate::base::sync::lock;

/// What is asked, held open: at work, the daemon may open nothing outside of its directories.
pub struct System {
    status: Option<File>,
    /// The process's open files, as a directory. Whoever reads it moves its position.
    descriptors: Option<Mutex<Dir>>,
    /// The directories of the vault and of the audit log.
    directories: [(&'static str, Option<File>); 2],
}

/// What it answered. What it does not tell is left out of the page.
#[derive(Default)]
pub struct Vitals {
    /// Bytes of this process in RAM.
    pub resident_memory: Option<u64>,
    /// Time that all its threads have spent on a processor.
    pub cpu_time: Option<Duration>,
    /// Files, sockets and directories that it has open.
    pub open_files: Option<u64>,
    /// How many it may have.
    pub max_files: Option<u64>,
    /// By the name of the file that lies there, `vault` or `audit`.
    pub disks: Vec<(&'static str, Disk)>,
}

pub struct Disk {
    pub size: u64,
    /// How many of them a process without privileges may still fill.
    pub available: u64,
}

impl System {
    /// Opens what is asked later, of this process and of the file systems of these two files.
    pub fn open(vault: &Path, audit: &Path) -> Self {
        let directory = |path| File::open(files::parent(path)).ok();
        Self {
            status: File::open("/proc/self/status").ok(),
            descriptors: File::open("/proc/self/fd").ok().and_then(|fd| Dir::new(fd).ok()).map(Mutex::new),
            directories: [("vault", directory(vault)), ("audit", directory(audit))],
        }
    }

    pub fn vitals(&self) -> Vitals {
        Vitals {
            resident_memory: self.resident_memory(),
            cpu_time: cpu_time(),
            open_files: self.open_files(),
            max_files: getrlimit(Resource::Nofile).current,
            disks: self.directories.iter().filter_map(|(name, place)| Some((*name, disk(place.as_ref()?)?))).collect(),
        }
    }

    fn resident_memory(&self) -> Option<u64> {
        let mut text = [0; 4096];
        let length = self.status.as_ref()?.read_at(&mut text, 0).ok()?;
        let text = String::from_utf8_lossy(&text[..length]);
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kibibytes * 1024)
    }

    fn open_files(&self) -> Option<u64> {
        let mut directory = lock(self.descriptors.as_ref()?);
        directory.rewind();
        let mut count = 0;
        while let Some(entry) = directory.read() {
            // Not `.` and `..`
            count += u64::from(entry.ok()?.file_name().to_bytes()[0] != b'.');
        }
        Some(count)
    }
}

fn cpu_time() -> Option<Duration> {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).ok()
}

fn disk(directory: &File) -> Option<Disk> {
    let told = fstatvfs(directory).ok()?;
    Some(Disk { size: told.f_blocks * told.f_frsize, available: told.f_bavail * told.f_frsize })
}

impl Vitals {
    /// Writes what is known.
    pub fn write(&self, page: &mut Page) {
        if let Some(bytes) = self.resident_memory {
            page.gauge("process_resident_memory_bytes", "Memory that the process holds in RAM, rounded up to 64 KiB.")
                .value(rounded_up(bytes));
        }
        if let Some(time) = self.cpu_time {
            page.counter(
                "process_cpu_seconds_total",
                "Processor time that the process has used, rounded down to 10 ms.",
            )
            .value(Duration::from_millis(time.as_millis() as u64 / 10 * 10).as_secs_f64());
        }
        if let Some(files) = self.open_files {
            page.gauge("process_open_fds", "Files and sockets that the process has open.").value(files);
        }
        if let Some(files) = self.max_files {
            page.gauge("process_max_fds", "Files and sockets that it may have open.").value(files);
        }
        if !self.disks.is_empty() {
            self.write_disks(page);
        }
    }

    fn write_disks(&self, page: &mut Page) {
        let mut sizes = page.gauge("filesystem_size_bytes", "Size of the file system that holds this file.");
        for (file, disk) in &self.disks {
            sizes = sizes.sample(&[("file", file)], disk.size);
        }
        let mut room = page.gauge(
            "filesystem_available_bytes",
            "Room that is left on the file system that holds this file, rounded down to 64 KiB.",
        );
        for (file, disk) in &self.disks {
            room = room.sample(&[("file", file)], rounded_down(disk.available));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> System {
        let file = std::env::temp_dir().join("file");
        System::open(&file, &file)
    }

    #[test]
    fn the_figures_are_those_of_a_program() {
        let vitals = here().vitals();
        let memory = vitals.resident_memory.unwrap();
        assert!((64 * 1024..64 << 30).contains(&memory), "{memory}");
        assert!(vitals.cpu_time.unwrap() > Duration::ZERO);
        assert!(vitals.open_files.unwrap() <= vitals.max_files.unwrap());
        assert_eq!(vitals.disks.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["vault", "audit"]);
        for (_, disk) in vitals.disks {
            assert!((1..=disk.size).contains(&disk.available), "{} of {}", disk.available, disk.size);
        }
    }

    #[test]
    fn each_figure_has_its_metric() {
        let vitals = Vitals {
            resident_memory: Some(4096),
            cpu_time: Some(Duration::from_millis(1509)),
            open_files: Some(23),
            max_files: Some(1024),
            disks: vec![
                ("vault", Disk { size: 24, available: 131_071 }),
                ("audit", Disk { size: 26, available: 131_072 }),
            ],
        };
        crate::metrics::assert_in_example(|page| vitals.write(page));
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let mut page = Page::default();
        Vitals::default().write(&mut page);
        assert_eq!(page.finish(), "");
    }

    #[test]
    fn a_file_is_counted_while_it_is_open() {
        let system = here();
        // Other tests open and close files beside this one: many files stand out.
        let count = || system.open_files().unwrap();
        let before = count();
        let files: Vec<File> = (0..200).map(|_| File::open("/proc/self/status").unwrap()).collect();
        assert!(count() >= before + 100, "{before} files, then {}", count());
        drop(files);
        assert!(count() <= before + 100, "{before} files, now {}", count());
    }

    #[test]
    fn a_place_that_is_not_there_is_left_out() {
        let vitals = System::open(Path::new("/no/such/place"), &std::env::temp_dir().join("file")).vitals();
        assert_eq!(vitals.disks.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["audit"]);
    }
}
