//! A list of tiers and the policy's choices.

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::memory::{Dynamic, Memory, Tier};
use super::names::Choice;
use super::threshold::Threshold;
use crate::kind::Memkind;

const FAILED: c_int = -1;

/// `struct memtier_builder`.
#[derive(Debug)]
pub struct Builder {
    tiers: Vec<Tier>,
    dynamic: Option<Dynamic>,
}

/// `memtier_builder_new`: null if there is no such policy.
#[unsafe(no_mangle)]
pub extern "C" fn memtier_builder_new(policy: c_int) -> *mut Builder {
    let dynamic = match policy {
        0 => None,
        1 => Some(Dynamic {
            thresholds: Vec::new(),
            check_count: 20,
            trigger: 0.02,
            degree: 0.15,
            since: AtomicUsize::new(0),
        }),
        _ => return null_mut(),
    };
    Box::into_raw(Box::new(Builder {
        tiers: Vec::new(),
        dynamic,
    }))
}

/// `memtier_builder_delete`.
///
/// # Safety
/// `builder` is null or from [`memtier_builder_new`], and not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memtier_builder_delete(builder: *mut Builder) {
    if !builder.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(builder) });
    }
}

/// `memtier_builder_add_tier`: 0, or -1 if there is no kind or it is there already.
///
/// # Safety
/// `builder` is from [`memtier_builder_new`]; `kind` is null, or lives as long as what is built.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memtier_builder_add_tier(
    builder: *mut Builder,
    kind: *mut Memkind,
    kind_ratio: c_uint,
) -> c_int {
    // SAFETY: the caller's promise.
    let builder = unsafe { &mut *builder };
    let is_there = builder
        .tiers
        .iter()
        .any(|tier| core::ptr::eq(tier.kind, kind));
    if kind.is_null() || is_there {
        return FAILED;
    }
    if let (Some(dynamic), Some(last)) = (&mut builder.dynamic, builder.tiers.len().checked_sub(1))
    {
        dynamic.thresholds.push(Threshold::new(last));
    }
    builder.tiers.push(Tier {
        kind,
        ratio: kind_ratio,
    });
    0
}

/// `memtier_ctl_set`: 0, or -1 if the policy has no such choice.
///
/// # Safety
/// `builder` is from [`memtier_builder_new`], `name` is a string, and `val` points to a `size_t`, or
/// to a `float` for `trigger` and `degree`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memtier_ctl_set(
    builder: *mut Builder,
    name: *const c_char,
    val: *const c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    let (builder, name) = unsafe { (&mut *builder, CStr::from_ptr(name)) };
    let choice = name.to_str().ok().and_then(Choice::of);
    let (Some(dynamic), Some(choice)) = (&mut builder.dynamic, choice) else {
        return FAILED;
    };
    // SAFETY: the caller's promise: one of them is read, as the choice says.
    let (number, part) = unsafe {
        match choice {
            Choice::Trigger | Choice::Degree => (0, val.cast::<f32>().read_unaligned()),
            _ => (val.cast::<usize>().read_unaligned(), 0.0),
        }
    };
    match choice {
        Choice::CheckCount => dynamic.check_count = number,
        Choice::Trigger => dynamic.trigger = part,
        Choice::Degree => dynamic.degree = part,
        Choice::Value(at) | Choice::Least(at) | Choice::Most(at) => {
            let Some(threshold) = dynamic.thresholds.get_mut(at) else {
                return FAILED;
            };
            match choice {
                Choice::Value(_) => threshold.value.store(number, Ordering::Relaxed),
                Choice::Least(_) => threshold.least = number,
                _ => threshold.most = number,
            }
        }
    }
    0
}

/// `memtier_builder_construct_memtier_memory`: the tiers as one. Null if there are none, or one
/// only and the policy needs two, or its choices make no sense. The builder is empty afterwards.
///
/// # Safety
/// `builder` is from [`memtier_builder_new`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memtier_builder_construct_memtier_memory(
    builder: *mut Builder,
) -> *mut Memory {
    // SAFETY: the caller's promise.
    let builder = unsafe { &mut *builder };
    let has_sense = match &builder.dynamic {
        None => true,
        Some(dynamic) => {
            builder.tiers.len() > 1
                && dynamic.thresholds.iter().all(Threshold::is_valid)
                && dynamic
                    .thresholds
                    .windows(2)
                    .all(|pair| pair[0].least <= pair[1].most)
                && dynamic.check_count > 0
                && (0.0..=1.0).contains(&dynamic.degree)
        }
    };
    if builder.tiers.is_empty() || !has_sense {
        return null_mut();
    }
    Box::into_raw(Box::new(Memory {
        tiers: core::mem::take(&mut builder.tiers),
        dynamic: builder.dynamic.take(),
    }))
}

/// `memtier_delete_memtier_memory`. The kinds and their blocks stay.
///
/// # Safety
/// `memory` is null or was built, and is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memtier_delete_memtier_memory(memory: *mut Memory) {
    if !memory.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(memory) });
    }
}
