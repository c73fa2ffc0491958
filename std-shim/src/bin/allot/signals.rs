//! Signals: what the program inherits, which ones are passed on, and dying of one.

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What another process sends to `allot` and means for the program.
pub(crate) const FORWARDED: [c_int; 8] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGWINCH,
    libc::SIGCONT,
];

/// SIGPIPE's disposition before Rust's runtime, which starts before `main`, ignored it.
static SIGPIPE_AT_START: AtomicUsize = AtomicUsize::new(libc::SIG_DFL);

#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_THE_RUNTIME: extern "C" fn() = {
    extern "C" fn remember_sigpipe() {
        SIGPIPE_AT_START.store(disposition(libc::SIGPIPE), Ordering::Relaxed);
    }
    remember_sigpipe
};

/// The signal state that `allot` was started with and that the program is to start with.
/// `std::process::Command` would reset the mask and SIGPIPE.
#[derive(Clone, Copy)]
pub(crate) struct Inherited {
    mask: libc::sigset_t,
    sigpipe: libc::sighandler_t,
    sigchld: libc::sighandler_t,
}

impl Inherited {
    /// Reads the state; to be called before anything changes it.
    pub(crate) fn capture() -> Self {
        let mut mask = MaybeUninit::uninit();
        // SAFETY: a null set changes nothing; the old mask is written to `mask`, so it is
        // initialised afterwards. With valid arguments the call cannot fail.
        let mask = unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, ptr::null(), mask.as_mut_ptr());
            mask.assume_init()
        };
        Self {
            mask,
            sigpipe: SIGPIPE_AT_START.load(Ordering::Relaxed),
            sigchld: disposition(libc::SIGCHLD),
        }
    }

    /// Restores the state. Async-signal-safe: it runs between `fork` and `exec`.
    pub(crate) fn restore(&self) -> io::Result<()> {
        // SAFETY: the saved dispositions are SIG_DFL or SIG_IGN, the only ones that survive exec;
        // the mask was initialised by the kernel.
        unsafe {
            libc::signal(libc::SIGPIPE, self.sigpipe);
            libc::signal(libc::SIGCHLD, self.sigchld);
            check(libc::pthread_sigmask(
                libc::SIG_SETMASK,
                &raw const self.mask,
                ptr::null_mut(),
            ))
        }
    }
}

fn disposition(signal: c_int) -> libc::sighandler_t {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null action changes nothing; the old one is written to `action`, whose all-zero
    // value (SIG_DFL) is valid should the call fail.
    unsafe {
        libc::sigaction(signal, ptr::null(), action.as_mut_ptr());
        action.assume_init().sa_sigaction
    }
}

/// A set of blocked signals that are waited for instead of handled.
pub(crate) struct Awaited(libc::sigset_t);

impl Awaited {
    /// Blocks SIGCHLD and [`FORWARDED`]. SIGCHLD gets its default disposition, because an ignored
    /// one lets the kernel throw the child's status away.
    pub(crate) fn block() -> io::Result<Self> {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset initialises the set; the signals are valid; SIG_DFL is no function.
        unsafe {
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
            libc::sigemptyset(set.as_mut_ptr());
            let mut set = set.assume_init();
            for signal in FORWARDED.into_iter().chain([libc::SIGCHLD]) {
                libc::sigaddset(&raw mut set, signal);
            }
            check(libc::pthread_sigmask(
                libc::SIG_BLOCK,
                &raw const set,
                ptr::null_mut(),
            ))?;
            Ok(Self(set))
        }
    }

    /// Waits for the next of them.
    pub(crate) fn wait(&self) -> io::Result<Received> {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: the set is initialised, `info` has room for the answer and is valid when zero.
        // si_pid may be read for signals that kill(2) and its like sent: anything else in that
        // place is only a number.
        unsafe {
            let signal = libc::sigwaitinfo(&raw const self.0, info.as_mut_ptr());
            if signal < 0 {
                return Err(io::Error::last_os_error());
            }
            let info = info.assume_init();
            Ok(Received {
                signal,
                sender: (info.si_code != libc::SI_KERNEL).then(|| info.si_pid()),
            })
        }
    }
}

/// A signal that arrived.
pub(crate) struct Received {
    pub(crate) signal: c_int,
    /// The process that sent it; `None` for the kernel, as for the terminal's ctrl-C, which the
    /// whole foreground group gets.
    pub(crate) sender: Option<libc::pid_t>,
}

/// Ends this process by the signal that ended the program, so that whoever waits for `allot` sees
/// the same status. No core is dumped: the program's own is the one that matters.
pub(crate) fn die_of(signal: c_int) -> ! {
    // SAFETY: only this process's own attributes are changed; the signal set is initialised by
    // sigemptyset; no Rust code relies on state after the process is gone.
    unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, 0);
        libc::signal(signal, libc::SIG_DFL);
        let mut set = MaybeUninit::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        libc::kill(libc::getpid(), signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), ptr::null_mut());
    }
    // Only for a signal whose default is not to end the process; shells say the same.
    std::process::exit(128 + signal)
}

/// The signal's number and meaning: `signal 9 (Killed)`.
pub(crate) fn describe(signal: c_int) -> String {
    // SAFETY: strsignal takes any number; its answer is valid until the next call, and this
    // process has one thread.
    let meaning = unsafe {
        let text = libc::strsignal(signal);
        if text.is_null() {
            return format!("signal {signal}");
        }
        std::ffi::CStr::from_ptr(text)
            .to_string_lossy()
            .into_owned()
    };
    format!("signal {signal} ({meaning})")
}

fn check(error: c_int) -> io::Result<()> {
    if error == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(error))
    }
}
