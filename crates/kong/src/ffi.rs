//! The C interface: what the plugin's Lua calls.
//!
//! Every function takes numbers, pointers and lengths and returns an `int32_t`; 0 says that nothing happened, and is what
//! a panic becomes. Bytes are borrowed for the time of the call; text goes out into the caller's buffer, cut where it is
//! full. `kong/plugins/ai-tracing/ffi.lua` is written from [`EXPORTS`] by `cargo xtask docs`.
//!
//! # Safety
//!
//! The whole contract, for every function: each pointer is null or readable (an `out` pointer: writable) for the length
//! that goes with it, for the time of the call. Null is an empty text. Numbers may be anything, calls may come in any
//! order and from any thread.
#![allow(unsafe_code)] // the one place in this repository

use std::ffi::CStr;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;
use std::{mem, process, ptr, slice};

use ai_tracing_core::record::End;

use crate::head::{Pairs, Request};
use crate::log_ring::{LogRing, ToRing};
use crate::worker::{StartOptions, Worker};

/// Version of this interface; the plugin refuses a library of another one. Raise it with every change.
pub const ABI: i32 = 2;

/// Most headers that are looked at in one call.
const MAX_HEADERS: usize = 1000;
/// Most texts that are looked at in one call: names and values of as many.
const MAX_TEXTS: usize = 2 * MAX_HEADERS;

/// A text of the caller's; its C name is `ai_tracing_text`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Text {
    /// Null: there is no such text.
    pub at: *const u8,
    /// Bytes.
    pub length: usize,
}

/// A header as nginx' Lua module hands it out: `ngx_http_lua_ffi_table_elt_t`, of which lua-resty-core makes strings.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NginxHeader {
    /// Its name, in any case.
    pub name: NginxText,
    /// Its value.
    pub value: NginxText,
}

/// Its text: `ngx_http_lua_ffi_str_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NginxText {
    /// Bytes; negative: there is no text.
    pub length: i32,
    /// Where they are.
    pub at: *const u8,
}

static WORKER: Mutex<Option<Running>> = Mutex::new(None);
static LOG: LogRing = LogRing::new();
static ONCE: Once = Once::new();

struct Running {
    /// The process that started it. After a fork there is a copy of it without its thread.
    process: u32,
    worker: Worker,
}

fn running() -> MutexGuard<'static, Option<Running>> {
    WORKER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `work` on the worker; 0 when there is none.
fn on_worker(work: impl FnOnce(&mut Worker) -> i32) -> i32 {
    running().as_mut().map_or(0, |running| work(&mut running.worker))
}

/// Runs the inside of an export; 0 when it panics.
fn guarded(work: impl FnOnce() -> i32) -> i32 {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(0)
}

macro_rules! exports {
    ($($(#[$meta:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block)*) => {
        $(
            $(#[$meta])*
            ///
            /// # Safety
            /// As the [module](self) says.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name($($argument: $type),*) -> i32 {
                guarded(|| $body)
            }
        )*

        /// Name, and name and Rust type of each argument, of every function; all return `i32`.
        pub const EXPORTS: &[(&str, &[(&str, &str)])] =
            &[$((stringify!($name), &[$((stringify!($argument), stringify!($type))),*])),*];
    };
}

exports! {
    /// [`ABI`].
    fn ai_tracing_abi() {
        ABI
    }

    /// Starts this process's worker: 1, or 0 when it cannot (the log says why). `options` is JSON, see [`StartOptions`];
    /// empty for the defaults. Once a process; after a fork, the child starts its own.
    fn ai_tracing_start(options: *const u8, length: usize) {
        // SAFETY: the caller's promise.
        let options = unsafe { bytes(options, length) };
        i32::from(start(options))
    }

    /// Ends the worker: delivers what can be delivered within `budget_ms`, and writes what is left of its log to stderr.
    /// 1, or 0 when there is none.
    fn ai_tracing_stop(budget_ms: i32) {
        let taken = running().take();
        let Some(Running { process, worker }) = taken else { return 0 };
        if process != process::id() {
            mem::forget(worker);
            return 0;
        }
        worker.stop(Duration::from_millis(u64::try_from(budget_ms).unwrap_or(0)));
        write_rest_of_log();
        1
    }

    /// Compiles a plugin configuration (JSON, as Kong hands it to the plugin): its number, greater than 0. When it is
    /// refused: the length of the reason in `out`, negative; 0 without a worker.
    fn ai_tracing_config_put(conf: *const u8, length: usize, out: *mut u8, size: usize) {
        // SAFETY: the caller's promise.
        let (conf, out) = unsafe { (bytes(conf, length), buffer(out, size)) };
        on_worker(|worker| match worker.put_config(conf) {
            Ok(number) => number,
            Err(why) => -write(&why, out),
        })
    }

    /// A configuration is used no more. 1 when there was one.
    fn ai_tracing_config_drop(config: i32) {
        on_worker(|worker| i32::from(worker.drop_config(config)))
    }

    /// Begins to watch a request; the number of the call. 0: it is no LLM traffic, or cannot be traced. `texts`: method, path
    /// (what follows a `?` is left out), query, host, the upstream's host and path, names of service, route and consumer.
    /// `headers`: an `ngx_http_lua_ffi_table_elt_t` for each. `age_ms`: how long ago the request came. Out go the 55 bytes of
    /// `traceparent`, and a byte that is 1 where the caller's `tracestate` has to go: its trace could not be joined.
    fn ai_tracing_begin(
        config: i32, texts: *const Text, count: i32, headers: *const NginxHeader, header_count: i32,
        port: i32, age_ms: i32, out: *mut u8, size: usize,
    ) {
        // SAFETY: the caller's promise.
        let (texts, headers, out) =
            unsafe { (read_texts(texts, count), read_headers(headers, header_count), buffer(out, size)) };
        let request = Request::new(&texts, Pairs::new(&headers), u16::try_from(port).unwrap_or(0));
        let age = Duration::from_millis(u64::try_from(age_ms).unwrap_or(0));
        on_worker(|worker| {
            let Some(begun) = worker.begin(config, &request, age) else { return 0 };
            write(&begun.traceparent, out);
            if let Some(flag) = out.get_mut(begun.traceparent.len()) {
                *flag = u8::from(begun.drop_tracestate);
            }
            begun.call
        })
    }

    /// The request's body, which goes to the upstream now; none where there is none. 1 when there is such a call.
    fn ai_tracing_request_body(call: i32, body: *const u8, length: usize) {
        // SAFETY: the caller's promise.
        let body = unsafe { bytes(body, length) };
        on_worker(|worker| i32::from(worker.request_body(call, body)))
    }

    /// The same, where the body is in the file of this name. 1 when there is such a call.
    fn ai_tracing_request_file(call: i32, path: *const u8, length: usize) {
        // SAFETY: the caller's promise.
        let path = String::from_utf8_lossy(unsafe { bytes(path, length) });
        on_worker(|worker| i32::from(worker.request_file(call, &path)))
    }

    /// The same, where the body is not looked at, so that it is not held up. 1 when there is such a call.
    fn ai_tracing_request_unseen(call: i32) {
        on_worker(|worker| i32::from(worker.request_unseen(call)))
    }

    /// The response will pass in the dialect of this name, not in the request's: a plugin translates. 1 when there is such a
    /// call.
    fn ai_tracing_answered_in(call: i32, dialect: *const u8, length: usize) {
        // SAFETY: the caller's promise.
        let dialect = String::from_utf8_lossy(unsafe { bytes(dialect, length) });
        on_worker(|worker| i32::from(worker.answered_in(call, &dialect)))
    }

    /// The head of the response: status, and name and value of each header. 1 when there is such a call.
    fn ai_tracing_response_head(call: i32, status: i32, headers: *const Text, count: i32) {
        // SAFETY: the caller's promise.
        let headers = unsafe { read_texts(headers, count) };
        let status = u16::try_from(status).unwrap_or(0);
        on_worker(|worker| i32::from(worker.response_head(call, status, &Pairs::new(&headers))))
    }

    /// A piece of the response's body, as it passes. 1 when there is such a call.
    fn ai_tracing_response_body(call: i32, body: *const u8, length: usize) {
        // SAFETY: the caller's promise.
        let body = unsafe { bytes(body, length) };
        on_worker(|worker| i32::from(worker.response_body(call, body)))
    }

    /// The exchange has ended: 0 complete, 1 the client went away, 2 the upstream failed, 3 it took too long, 4 the gateway
    /// refused. `tries`: upstreams tried. Where `out` has room, and the exchange is small, its numbers are written there as
    /// JSON; their length.
    fn ai_tracing_finish(call: i32, end: i32, tries: i32, out: *mut u8, size: usize) {
        let end = match end {
            0 => End::Complete,
            2 => End::UpstreamError,
            3 => End::Timeout,
            4 => End::Rejected,
            _ => End::ClientGone,
        };
        // SAFETY: the caller's promise.
        let out = unsafe { buffer(out, size) };
        on_worker(|worker| {
            let numbers = worker.finish(call, end, tries > 1, !out.is_empty());
            // Half a JSON text is none.
            numbers.filter(|text| text.len() <= out.len()).map_or(0, |text| write(&text, out))
        })
    }

    /// The next log line, if there is one: its length, and nginx's number of its level in `level`. `shown`: the number of
    /// the least important level that nginx's log shows now.
    fn ai_tracing_log(shown: i32, level: *mut i32, out: *mut u8, size: usize) {
        LOG.show(u8::try_from(shown).unwrap_or(u8::MAX));
        let Some(line) = LOG.take() else { return 0 };
        // SAFETY: the caller's promise.
        let out = unsafe {
            if !level.is_null() {
                level.write(line.level.into());
            }
            buffer(out, size)
        };
        write(&line.text, out)
    }

    /// The worker's counters as JSON; their length, 0 when `out` is too small.
    fn ai_tracing_stats(out: *mut u8, size: usize) {
        // SAFETY: the caller's promise.
        let out = unsafe { buffer(out, size) };
        on_worker(|worker| {
            let text = serde_json::to_string(&worker.report()).unwrap_or_default();
            if text.len() <= out.len() { write(&text, out) } else { 0 }
        })
    }
}

/// The bytes at `at`.
///
/// # Safety
/// As the module says.
unsafe fn bytes<'a>(at: *const u8, length: usize) -> &'a [u8] {
    if at.is_null() || length > isize::MAX.unsigned_abs() {
        return &[];
    }
    // SAFETY: not null, and readable for `length` by the caller's promise.
    unsafe { slice::from_raw_parts(at, length) }
}

/// The buffer at `at`.
///
/// # Safety
/// As the module says.
unsafe fn buffer<'a>(at: *mut u8, size: usize) -> &'a mut [u8] {
    if at.is_null() || size > isize::MAX.unsigned_abs() {
        return &mut [];
    }
    // SAFETY: not null, and writable for `size` by the caller's promise.
    unsafe { slice::from_raw_parts_mut(at, size) }
}

/// The texts at `at`.
///
/// # Safety
/// As the module says.
unsafe fn read_texts<'a>(at: *const Text, count: i32) -> Vec<Option<&'a [u8]>> {
    let count = if at.is_null() { 0 } else { usize::try_from(count).unwrap_or(0).min(MAX_TEXTS) };
    let text = |index| {
        // SAFETY: `count` texts are readable, and so is what they point at.
        unsafe {
            let text = at.add(index).read();
            (!text.at.is_null()).then(|| bytes(text.at, text.length))
        }
    };
    (0..count).map(text).collect()
}

/// Names and values of the headers at `at`, in turn.
///
/// # Safety
/// As the module says.
unsafe fn read_headers<'a>(at: *const NginxHeader, count: i32) -> Vec<Option<&'a [u8]>> {
    let count = if at.is_null() { 0 } else { usize::try_from(count).unwrap_or(0).min(MAX_HEADERS) };
    let text = |text: NginxText| {
        // SAFETY: the caller's promise.
        usize::try_from(text.length).ok().map(|length| unsafe { bytes(text.at, length) })
    };
    let mut texts = Vec::with_capacity(2 * count);
    for index in 0..count {
        // SAFETY: `count` headers are readable.
        let header = unsafe { at.add(index).read() };
        texts.extend([text(header.name), text(header.value)]);
    }
    texts
}

/// Copies as much of `text` as fits; how much that was.
fn write(text: &str, out: &mut [u8]) -> i32 {
    let length = text.floor_char_boundary(out.len());
    if let (Some(to), Some(from)) = (out.get_mut(..length), text.as_bytes().get(..length)) {
        to.copy_from_slice(from);
    }
    i32::try_from(length).unwrap_or(0)
}

fn start(options: &[u8]) -> bool {
    ONCE.call_once(|| {
        // Where a panic happened goes to the log; what it says may be somebody's prompt.
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(place, "AI Tracing: a defect");
        }));
        let _ = tracing::subscriber::set_global_default(ToRing(&LOG));
        pin();
    });
    let mut running = running();
    match running.take() {
        Some(old) if old.process == process::id() => {
            *running = Some(old);
            return true;
        }
        // A copy from before the fork: its thread is not here, and nobody may wait for it.
        Some(old) => mem::forget(old.worker),
        None => {}
    }
    let options = if options.is_empty() { Ok(StartOptions::default()) } else { serde_json::from_slice(options) };
    let options = match options {
        Ok(options) => options,
        Err(error) => {
            tracing::error!(%error, "AI Tracing: cannot start: wrong options");
            return false;
        }
    };
    match without_signals(|| Worker::start(options)) {
        Ok(worker) => {
            *running = Some(Running { process: process::id(), worker });
            true
        }
        Err(error) => {
            tracing::error!(%error, "AI Tracing: cannot start");
            false
        }
    }
}

/// What nobody will fetch any more. A worker's stderr is nginx's error log.
fn write_rest_of_log() {
    let mut stderr = std::io::stderr().lock();
    while let Some(line) = LOG.take() {
        let level = match line.level {
            4 => "error",
            5 => "warn",
            7 => "info",
            _ => "debug",
        };
        // Nothing to be done about a closed log.
        let _ = writeln!(stderr, "[{level}] {}#0: {}", process::id(), line.text);
    }
}

/// Runs `work` with all signals blocked: the threads that it starts inherit that, and leave signals to nginx.
fn without_signals<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: both sets are initialised by the calls that they are passed to; neither call fails with these arguments.
    unsafe {
        let (mut all, mut before) = (mem::zeroed(), mem::zeroed());
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let result = catch_unwind(AssertUnwindSafe(work));
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut());
        match result {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Keeps the library in memory for good: LuaJIT unloads it with its VM, while our threads may still run.
fn pin() {
    // SAFETY: `dladdr` fills `info` when it returns other than 0; its name is a C string that lives as long as the library.
    unsafe {
        let mut info: libc::Dl_info = mem::zeroed();
        let inside = ai_tracing_abi as *const libc::c_void;
        if libc::dladdr(inside, &raw mut info) != 0 && !info.dli_fname.is_null() {
            let name = CStr::from_ptr(info.dli_fname);
            // The handle is leaked on purpose.
            libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD | libc::RTLD_NODELETE);
        }
    }
}

#[cfg(test)]
mod tests;
