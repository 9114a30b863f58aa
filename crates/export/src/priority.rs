//! Giving way to those who serve requests.

/// How much the calling thread gives way (`nice`, 0 to 19). Where cores are scarce, a thread that serves requests then
/// gets about three times the time of one that traces them, and need not wait for it to end its turn; where they are
/// not, nothing changes.
const NICE: i32 = 5;

/// Lowers the calling thread's priority. On Linux, `setpriority` with a thread's id holds for that thread alone
/// (`man 2 setpriority`, "C library/kernel differences"). A system that refuses leaves things as they are.
pub fn give_way() {
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
}

/// Lets other threads go first, if any wait for this core: between two records and between two blocks of a compression,
/// so that no request waits for the end of a batch. A system call of a fraction of a microsecond when nobody waits.
pub fn pause() {
    std::thread::yield_now();
}
