//! The C interface in any order and with any arguments: nothing breaks, and no call is lost or counted twice.
//!
//! The fuzzer (`fuzz/`) and the test `fuzz_seeds` run the same function. An input is a row of steps: a byte that chooses
//! the function, a byte that chooses the number it is called with, a byte that says how many bytes of text follow.

#![allow(unsafe_code, clippy::unwrap_used, clippy::indexing_slicing)] // calls C functions; a broken promise should say so at once

use std::ptr;

use ai_tracing_kong::ffi::*;
use serde_json::Value;

/// What stands before the headers; most inputs should begin something.
const HEAD: [&str; 9] = ["POST", "/v1/chat/completions", "", "h", "up", "/up", "service", "route", "consumer"];

fn text(text: &[u8]) -> Text {
    Text { at: text.as_ptr(), length: text.len() }
}

/// Name and value from each line; a line that is missing is no text.
fn headers(lines: &[u8]) -> Vec<NginxHeader> {
    let text = |line: Option<&&[u8]>| {
        line.map_or(NginxText { length: -1, at: ptr::null() }, |line| NginxText {
            length: line.len() as i32,
            at: line.as_ptr(),
        })
    };
    let lines: Vec<&[u8]> = lines.split(|byte| *byte == b'\n').collect();
    lines.chunks(2).map(|pair| NginxHeader { name: text(pair.first()), value: text(pair.get(1)) }).collect()
}

/// Takes the steps of `input`.
pub fn kong(input: &[u8]) {
    let mut out = [0; 4096];
    // Numbers that were given out, and some that never were.
    let (mut configs, mut calls) = (vec![0, -1, i32::MAX], vec![0, -1, i32::MAX]);
    // SAFETY: each pointer goes with its length.
    unsafe {
        assert_eq!(ai_tracing_start(ptr::null(), 0), 1);
        configs.push(ai_tracing_config_put(b"{}".as_ptr(), 2, out.as_mut_ptr(), out.len()));
        let (mut begun, mut finished) = (0, 0);
        let mut rest = input;
        while let [step, pick, length, more @ ..] = rest {
            let (bytes, after) = more.split_at(usize::from(*length).min(more.len()));
            rest = after;
            let config = configs[usize::from(*pick) % configs.len()];
            let call = calls[usize::from(*pick) % calls.len()];
            let (at, size) = (bytes.as_ptr(), bytes.len());
            match step % 12 {
                0 => {
                    let number = ai_tracing_config_put(at, size, out.as_mut_ptr(), usize::from(*pick));
                    assert!(number >= -i32::from(*pick), "{number}");
                    configs.extend((number > 0).then_some(number));
                }
                1 => {
                    ai_tracing_config_drop(config);
                }
                2 => {
                    let (row, headers) = (HEAD.map(|part| text(part.as_bytes())), headers(bytes));
                    let number = ai_tracing_begin(
                        config,
                        row.as_ptr(),
                        row.len().saturating_sub(usize::from(*pick) / 32) as i32,
                        headers.as_ptr(),
                        headers.len() as i32,
                        i32::from(*pick),
                        i32::from(*length),
                        out.as_mut_ptr(),
                        56,
                    );
                    assert!(number >= 0);
                    if number > 0 {
                        begun += 1;
                        calls.push(number);
                    }
                }
                3 => {
                    ai_tracing_request_body(call, at, size);
                }
                4 => {
                    ai_tracing_request_file(call, at, size);
                }
                5 => {
                    ai_tracing_request_unseen(call);
                }
                6 => {
                    ai_tracing_answered_in(call, at, size);
                }
                7 => {
                    let row: Vec<Text> = bytes.split(|byte| *byte == b'\n').map(text).collect();
                    ai_tracing_response_head(call, i32::from(*length) * 4, row.as_ptr(), row.len() as i32);
                }
                8 => {
                    ai_tracing_response_body(call, at, size);
                }
                9 => {
                    let open = ai_tracing_response_body(call, ptr::null(), 0);
                    let length = ai_tracing_finish(call, i32::from(*length), 1, out.as_mut_ptr(), out.len());
                    finished += u64::from(open == 1);
                    assert!(open == 1 || length == 0);
                    if length > 0 {
                        let numbers: Value = serde_json::from_slice(&out[..length as usize]).unwrap();
                        assert!(numbers["meta"]["llm_latency"].is_number(), "{numbers}");
                    }
                }
                10 => {
                    let mut level = 0;
                    ai_tracing_log(i32::from(*pick), &raw mut level, out.as_mut_ptr(), out.len());
                }
                _ => {
                    assert!(ai_tracing_stats(out.as_mut_ptr(), usize::from(*pick)) <= i32::from(*pick));
                }
            }
        }
        let length = ai_tracing_stats(out.as_mut_ptr(), out.len());
        let report: Value = serde_json::from_slice(&out[..length as usize]).unwrap();
        let accepted = report["engine"]["sink"]["accepted"].as_u64().unwrap();
        assert_eq!((report["calls"]["begun"].as_u64(), accepted), (Some(begun), finished), "{report}");
        assert_eq!(
            (report["open"].as_u64(), &report["calls"]["defects"]),
            (Some(begun - finished), &Value::from(0)),
            "{report}"
        );
        while ai_tracing_log(4, ptr::null_mut(), out.as_mut_ptr(), out.len()) > 0 {}
        assert_eq!(ai_tracing_stop(0), 1);
    }
}
