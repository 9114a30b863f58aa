//! What Linux says of this process, in the names that all Prometheus clients use
//! (<https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>). Elsewhere there is nothing to say.

use ai_tracing_export::metrics::{Kind, Page};

/// Writes what can be read of `/proc/self`.
pub fn write(page: &mut Page) {
    let read = |path| std::fs::read_to_string(path).ok();
    let stat = read("/proc/self/stat").and_then(|stat| Stat::parse(&stat));
    if let Some(stat) = &stat {
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let cpu = stat.cpu_ticks as f64 / ticks;
        page.metric("process_cpu_seconds_total", Kind::Counter, "User and system CPU time").sample(&[], cpu);
        if let Some(boot) = read("/proc/stat").and_then(|text| number_after(&text, "btime ")) {
            let started = boot as f64 + stat.start_ticks as f64 / ticks;
            page.gauge("process_start_time_seconds", "When the process began, since the epoch", started);
        }
        page.gauge("process_threads", "Threads", stat.threads as f64);
        page.gauge("process_virtual_memory_bytes", "Virtual memory", stat.virtual_bytes as f64);
        let resident = stat.resident_pages.saturating_mul(rustix::param::page_size() as u64);
        page.gauge("process_resident_memory_bytes", "Resident memory", resident as f64);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        page.gauge("process_open_fds", "Open file descriptors", open.count() as f64);
    }
    if let Some(limits) = read("/proc/self/limits")
        && let Some(most) = number_after(&limits, "Max open files")
    {
        page.gauge("process_max_fds", "Most file descriptors that may be open", most as f64);
    }
}

/// What is used of `/proc/self/stat` (proc_pid_stat(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    /// Since the system's start.
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(stat: &str) -> Option<Self> {
        // The second field is a name in parentheses, which may hold anything; the fields after it are numbered from 3.
        let (_, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// The number that stands after the first `name` that begins a line.
fn number_after(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_ascii_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_moves_no_field() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22";
        let expected = Stat { cpu_ticks: 11 + 12, threads: 17, start_ticks: 19, virtual_bytes: 20, resident_pages: 21 };
        assert_eq!(Stat::parse(stat), Some(expected));
        assert_eq!(Stat::parse("42 (a) S 1 2"), None);
        assert_eq!(number_after("x 1\nMax open files  1024 4096 files\n", "Max open files"), Some(1024));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_says_what_it_is() {
        let mut page = Page::default();
        write(&mut page);
        let page = page.into_text();
        for name in ["cpu_seconds_total", "start_time_seconds", "resident_memory_bytes", "open_fds", "max_fds"] {
            assert!(page.contains(&format!("\nprocess_{name} ")), "{name}\n{page}");
        }
    }
}
