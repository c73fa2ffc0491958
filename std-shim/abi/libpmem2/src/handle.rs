//! What the pointers that programs hold point to.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::failure::{Failure, Outcome};

/// A value behind a pointer, with a mark by which a null pointer, a pointer to something else, and most
/// pointers to what was deleted are known.
#[repr(C)]
#[derive(Debug)]
pub struct Handle<T> {
    mark: AtomicU64,
    value: T,
}

/// What a program can have a pointer to.
pub trait Kind {
    /// No two kinds have the same.
    const MARK: u64;
    /// As in messages.
    const NAME: &'static str;
}

impl<T: Kind> Handle<T> {
    /// A pointer to hand out.
    pub(crate) fn create(value: T) -> *mut Handle<T> {
        Box::into_raw(Box::new(Handle {
            mark: AtomicU64::new(T::MARK),
            value,
        }))
    }

    /// The value.
    ///
    /// # Safety
    /// The pointer is null, or to something readable; if it is to a handle, that is not deleted during `'a`.
    pub(crate) unsafe fn get<'a>(handle: *const Handle<T>) -> Outcome<&'a T> {
        // SAFETY: the condition is the same.
        if unsafe { Handle::is_valid(handle) } {
            // SAFETY: it is a handle of this kind (checked), and not deleted meanwhile (condition).
            Ok(unsafe { &(*handle).value })
        } else {
            Err(Failure::pointer(T::NAME))
        }
    }

    /// As [`Handle::get`], to change it.
    ///
    /// # Safety
    /// As for [`Handle::get`]; and no other thread uses the handle.
    pub(crate) unsafe fn get_mut<'a>(handle: *mut Handle<T>) -> Outcome<&'a mut T> {
        // SAFETY: the condition is stricter.
        if unsafe { Handle::is_valid(handle) } {
            // SAFETY: it is a handle of this kind (checked), and nobody else's (condition).
            Ok(unsafe { &mut (*handle).value })
        } else {
            Err(Failure::pointer(T::NAME))
        }
    }

    /// Takes the value out and frees the handle.
    ///
    /// # Safety
    /// As for [`Handle::get_mut`]; nobody uses the handle later, either.
    pub(crate) unsafe fn delete(handle: *mut Handle<T>) -> Outcome<T> {
        // SAFETY: the condition is stricter.
        if !unsafe { Handle::is_valid(handle) } {
            return Err(Failure::pointer(T::NAME));
        }
        // SAFETY: it was made by `create` (checked by its mark), and nobody else uses it (condition).
        let handle = unsafe { Box::from_raw(handle) };
        handle.mark.store(0, Ordering::Relaxed);
        Ok(handle.value)
    }

    unsafe fn is_valid(handle: *const Handle<T>) -> bool {
        // SAFETY: what it points to can be read (condition of the callers); the mark comes first.
        !handle.is_null()
            && handle.is_aligned()
            && unsafe { (*handle).mark.load(Ordering::Relaxed) } == T::MARK
    }
}

/// Where a call puts a pointer that it makes: null until it succeeds.
pub(crate) struct Out<T>(*mut *mut Handle<T>);

impl<T> Out<T> {
    /// # Safety
    /// `place` is null or valid for writes for as long as this lives.
    pub(crate) unsafe fn new(place: *mut *mut Handle<T>) -> Outcome<Out<T>> {
        if place.is_null() {
            return Err(Failure::new(
                -libc::EINVAL,
                "the pointer to where the result goes is null",
            ));
        }
        // SAFETY: the condition.
        unsafe { place.write(core::ptr::null_mut()) };
        Ok(Out(place))
    }

    pub(crate) fn put(self, handle: *mut Handle<T>) {
        // SAFETY: the condition of `new`.
        unsafe { self.0.write(handle) };
    }
}

/// Deletes what a program's variable points to, and makes it null. A null pointer in it is fine.
///
/// # Safety
/// `place` is null or valid for reads and writes, and what it points to as for [`Handle::delete`].
pub(crate) unsafe fn delete_at<T: Kind>(place: *mut *mut Handle<T>) -> Outcome {
    if place.is_null() {
        return Err(Failure::pointer(T::NAME));
    }
    // SAFETY: the conditions.
    unsafe {
        if !place.read().is_null() {
            drop(Handle::delete(place.read())?);
            place.write(core::ptr::null_mut());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Number(u32);

    impl Kind for Number {
        const MARK: u64 = 0x0123_4567_89ab_cdef;
        const NAME: &'static str = "number";
    }

    #[test]
    fn what_is_not_a_handle_is_refused() {
        let zeros = [0_u64; 4];
        // SAFETY: null, or readable.
        unsafe {
            assert!(Handle::<Number>::get(core::ptr::null()).is_err());
            assert!(Handle::<Number>::get(zeros.as_ptr().cast()).is_err());
            assert!(Handle::<Number>::get(zeros.as_ptr().cast::<u8>().add(1).cast()).is_err());
        }
        let mut handle = Handle::create(Number(7));
        // SAFETY: just made, and used here only.
        unsafe {
            Handle::get_mut(handle).unwrap().0 += 1;
            assert_eq!(Handle::get(handle).unwrap().0, 8);
            delete_at(&raw mut handle).unwrap();
            assert!(handle.is_null());
            delete_at(&raw mut handle).unwrap();
            assert!(delete_at::<Number>(core::ptr::null_mut()).is_err());
        }
    }
}
