//! The interface as C sees it. The worker is the process's: these tests take turns.

use super::*;

static TURN: Mutex<()> = Mutex::new(());

fn text(text: &str) -> Text {
    Text { at: text.as_ptr(), length: text.len() }
}

const NONE: NginxText = NginxText { length: 0, at: ptr::null() };

fn header(name: &str, value: &str) -> NginxHeader {
    let text = |text: &str| NginxText { length: text.len() as i32, at: text.as_ptr() };
    NginxHeader { name: text(name), value: text(value) }
}

fn begin(config: i32, out: &mut [u8]) -> i32 {
    let row = ["POST", "/v1/chat/completions", "", "h"].map(text);
    let headers =
        [header("tracestate", "a=b"), NginxHeader { value: NginxText { length: -1, ..NONE }, ..header("x", "") }];
    // SAFETY: four texts, two headers, and a buffer of its length.
    unsafe { ai_tracing_begin(config, row.as_ptr(), 4, headers.as_ptr(), 2, 80, 0, out.as_mut_ptr(), out.len()) }
}

#[test]
fn a_call_from_begin_to_stop() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut out = [0; 4096];
    // SAFETY: each pointer goes with its length.
    unsafe {
        assert_eq!(ai_tracing_abi(), ABI);
        assert_eq!((ai_tracing_start(ptr::null(), 0), ai_tracing_start(ptr::null(), 0)), (1, 1));
        let config = ai_tracing_config_put(c"{}".as_ptr().cast(), 2, out.as_mut_ptr(), out.len());
        assert!(config > 0);
        let call = begin(config, &mut out);
        assert!(call > 0 && out.starts_with(b"00-") && out.get(55) == Some(&1));
        assert!(begin(config, &mut out[..55]) > 0, "no room for the last byte");
        let body = r#"{"model":"m","messages":[]}"#;
        assert_eq!(ai_tracing_request_body(call, body.as_ptr(), body.len()), 1);
        let head = [text("content-type"), text("application/json")];
        assert_eq!(ai_tracing_response_head(call, 200, head.as_ptr(), 2), 1);
        assert_eq!(ai_tracing_response_body(call, b"{}".as_ptr(), 2), 1);
        let length = ai_tracing_finish(call, 0, 2, out.as_mut_ptr(), out.len());
        let numbers = String::from_utf8_lossy(out.get(..length as usize).unwrap()).into_owned();
        assert!(numbers.contains(r#""request_model":"m""#), "{numbers}");
        assert_eq!(ai_tracing_finish(call, 0, 0, ptr::null_mut(), 0), 0);
        let length = ai_tracing_stats(out.as_mut_ptr(), out.len());
        assert!(String::from_utf8_lossy(&out[..length as usize]).contains(r#""begun":2"#));
        assert_eq!(ai_tracing_stats(out.as_mut_ptr(), 3), 0);
        assert_eq!((ai_tracing_config_drop(config), ai_tracing_config_drop(config)), (1, 0));
        assert_eq!((ai_tracing_stop(5000), ai_tracing_stop(5000)), (1, 0));
        assert_eq!(begin(config, &mut out), 0, "without a worker nothing happens");
    }
}

#[test]
fn a_refused_configuration_says_why_and_wrong_options_do_not_start() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut out, mut level) = ([0; 4096], 0);
    // SAFETY: each pointer goes with its length.
    unsafe {
        assert_eq!(ai_tracing_start(b"{]".as_ptr(), 2), 0);
        assert_eq!(ai_tracing_config_put(b"{}".as_ptr(), 2, out.as_mut_ptr(), out.len()), 0);
        assert_eq!(ai_tracing_start(ptr::null(), 0), 1);
        let conf = r#"{"log_level": "loud"}"#;
        let length = ai_tracing_config_put(conf.as_ptr(), conf.len(), out.as_mut_ptr(), out.len());
        assert!(length < 0 && String::from_utf8_lossy(&out[..-length as usize]).contains("log_level: expected one of"));
        assert_eq!(ai_tracing_config_put(conf.as_ptr(), conf.len(), out.as_mut_ptr(), 5), -5);
        let mut lines = Vec::new();
        while let length @ 1.. = ai_tracing_log(8, &raw mut level, out.as_mut_ptr(), out.len()) {
            lines.push((level, String::from_utf8_lossy(&out[..length as usize]).into_owned()));
        }
        assert!(
            lines.iter().any(|(level, line)| *level == 4 && line.starts_with("AI Tracing: cannot start")),
            "{lines:?}"
        );
        assert_eq!(ai_tracing_stop(-1), 1);
    }
}

#[test]
fn nothing_breaks_on_null_and_nonsense() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: null is allowed everywhere.
    unsafe {
        for started in [false, true] {
            assert_eq!(ai_tracing_start(ptr::null(), 0), 1);
            let config = ai_tracing_config_put(ptr::null(), 9, ptr::null_mut(), 9);
            assert_eq!(config, 0, "no JSON, and no room to say so");
            for number in [0, -1, i32::MIN, i32::MAX, 131_073] {
                assert_eq!(ai_tracing_begin(number, ptr::null(), 7, ptr::null(), 7, -1, -1, ptr::null_mut(), 7), 0);
                assert_eq!(ai_tracing_request_body(number, ptr::null(), usize::MAX), 0);
                assert_eq!(ai_tracing_request_file(number, ptr::null(), 1), 0);
                assert_eq!(ai_tracing_request_unseen(number), 0);
                assert_eq!(ai_tracing_answered_in(number, ptr::null(), 3), 0);
                assert_eq!(ai_tracing_response_head(number, -5, ptr::null(), i32::MAX), 0);
                assert_eq!(ai_tracing_response_body(number, ptr::null(), 1), 0);
                assert_eq!(ai_tracing_finish(number, number, number, ptr::null_mut(), 1), 0);
                assert_eq!(ai_tracing_config_drop(number), 0);
            }
            ai_tracing_log(-1, ptr::null_mut(), ptr::null_mut(), 5);
            assert_eq!(ai_tracing_stop(0), 1, "{started}");
        }
    }
}

#[test]
fn threads_of_ours_leave_signals_alone() {
    let blocked = || {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap().trim().to_owned();
        u64::from_str_radix(&mask, 16).unwrap()
    };
    let before = blocked();
    let inside = without_signals(|| std::thread::spawn(blocked).join().unwrap());
    // Those that nginx lives by.
    for signal in
        [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGCHLD, libc::SIGUSR1, libc::SIGWINCH]
    {
        assert_eq!(inside >> (signal - 1) & 1, 1, "{signal}");
    }
    assert_eq!(blocked(), before);
}
