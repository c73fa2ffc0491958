//! `pmem2_vm_reservation_*`: address space that sources are mapped into.

use core::ffi::{c_int, c_void};
use core::ptr::{NonNull, null_mut};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use allotment::reservation::{Reservation, ReservedMap, Retained};

use crate::code;
use crate::failure::{Failure, Outcome, number};
use crate::handle::{Handle, Kind, Out};
use crate::map::Pmem2Map;
use crate::registry;

/// A reservation, unless it is being deleted.
pub type Slot = RwLock<Option<Reservation>>;

/// `struct pmem2_vm_reservation`.
pub type Pmem2VmReservation = Handle<Slot>;

impl Kind for Slot {
    const MARK: u64 = u64::from_ne_bytes(*b"pm2-rsrv");
    const NAME: &'static str = "reservation";
}

/// A reservation that is in use for a call.
pub(crate) struct InUse<'a>(RwLockReadGuard<'a, Option<Reservation>>);

impl InUse<'_> {
    /// # Safety
    /// `rsv` is a reservation that is not deleted meanwhile.
    pub(crate) unsafe fn new<'a>(rsv: *const Pmem2VmReservation) -> Outcome<InUse<'a>> {
        // SAFETY: the condition.
        let slot = unsafe { Handle::get(rsv)? };
        Ok(InUse(slot.read().unwrap_or_else(PoisonError::into_inner)))
    }

    pub(crate) fn get(&self) -> Outcome<&Reservation> {
        self.0
            .as_ref()
            .ok_or_else(|| Failure::pointer(<Slot as Kind>::NAME))
    }
}

/// The reservation's first byte; null for what is no reservation. `pmem2_vm_reservation_get_address(3)`.
///
/// # Safety
/// `rsv` is a reservation.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_vm_reservation_get_address(
    rsv: *mut Pmem2VmReservation,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    let rsv = unsafe { InUse::new(rsv) };
    rsv.and_then(|rsv| Ok(rsv.get()?.start().as_ptr().cast()))
        .unwrap_or(null_mut())
}

/// The reservation's size in bytes; 0 for what is no reservation. `pmem2_vm_reservation_get_size(3)`.
///
/// # Safety
/// `rsv` is a reservation.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_vm_reservation_get_size(rsv: *mut Pmem2VmReservation) -> usize {
    // SAFETY: the caller's promise.
    let rsv = unsafe { InUse::new(rsv) };
    rsv.and_then(|rsv| Ok(rsv.get()?.size())).unwrap_or(0)
}

/// Reserves `size` bytes, a multiple of the page size: at `addr`, or where the system likes if that is null.
/// `pmem2_vm_reservation_new(3)`.
///
/// Returns 0, `PMEM2_E_ADDRESS_UNALIGNED`, `PMEM2_E_LENGTH_UNALIGNED`, `PMEM2_E_LENGTH_OUT_OF_RANGE` for no bytes,
/// `PMEM2_E_MAPPING_EXISTS` or `-errno`; then `*rsv_ptr` is null.
///
/// # Safety
/// `rsv_ptr` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_vm_reservation_new(
    rsv_ptr: *mut *mut Pmem2VmReservation,
    addr: *mut c_void,
    size: usize,
) -> c_int {
    let make = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::new(rsv_ptr)? };
        let reservation = match NonNull::new(addr.cast()) {
            None => Reservation::new(size)?,
            Some(address) => Reservation::at(address, size)?,
        };
        out.put(Handle::create(RwLock::new(Some(reservation))));
        Ok(())
    };
    number(make())
}

/// Gives a reservation in which there are no maps back to the system, and makes `*rsv_ptr` null.
/// `pmem2_vm_reservation_delete(3)`.
///
/// Returns 0, `PMEM2_E_VM_RESERVATION_NOT_EMPTY` or `-errno`; then it is as it was.
///
/// # Safety
/// `*rsv_ptr` is a reservation that nobody uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_vm_reservation_delete(
    rsv_ptr: *mut *mut Pmem2VmReservation,
) -> c_int {
    let delete = || {
        if rsv_ptr.is_null() {
            return Err(Failure::pointer(<Slot as Kind>::NAME));
        }
        // SAFETY: the caller's promise.
        let rsv = unsafe { rsv_ptr.read() };
        // SAFETY: the caller's promise.
        let slot = unsafe { Handle::get(rsv)? };
        let mut reservation = slot.write().unwrap_or_else(PoisonError::into_inner);
        let taken = reservation.take();
        let taken = taken.ok_or_else(|| Failure::pointer(<Slot as Kind>::NAME))?;
        if let Err(Retained { value, error }) = taken.delete() {
            *reservation = Some(value);
            return Err(error.into());
        }
        drop(reservation);
        // SAFETY: nobody uses it (the caller's promise).
        unsafe {
            drop(Handle::delete(rsv)?);
            rsv_ptr.write(null_mut());
        }
        Ok(())
    };
    number(delete())
}

/// Adds `size` bytes, a multiple of the page size, at the end. `pmem2_vm_reservation_extend(3)`.
///
/// Returns 0, `PMEM2_E_LENGTH_UNALIGNED`, `PMEM2_E_MAPPING_EXISTS` or `-errno`; then it is as it was.
///
/// # Safety
/// `rsv` is a reservation.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_vm_reservation_extend(
    rsv: *mut Pmem2VmReservation,
    size: usize,
) -> c_int {
    // SAFETY: the caller's promise.
    let rsv = unsafe { InUse::new(rsv) };
    number(rsv.and_then(|rsv| Ok(rsv.get()?.extend(size)?)))
}

/// Gives `size` bytes at `offset` back, at the start or the end of the reservation; both are multiples of the
/// page size. From the start, the reservation's address moves up. `pmem2_vm_reservation_shrink(3)`.
///
/// Returns 0, `PMEM2_E_OFFSET_UNALIGNED`, `PMEM2_E_LENGTH_UNALIGNED`, `PMEM2_E_OFFSET_OUT_OF_RANGE`,
/// `PMEM2_E_LENGTH_OUT_OF_RANGE`, `PMEM2_E_NOSUPP` for a part in the middle, and for all of it,
/// `PMEM2_E_VM_RESERVATION_NOT_EMPTY` or `-errno`; then it is as it was.
///
/// # Safety
/// `rsv` is a reservation.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_vm_reservation_shrink(
    rsv: *mut Pmem2VmReservation,
    offset: usize,
    size: usize,
) -> c_int {
    // SAFETY: the caller's promise.
    let rsv = unsafe { InUse::new(rsv) };
    number(rsv.and_then(|rsv| Ok(rsv.get()?.shrink(offset, size)?)))
}

/// Answers a map that was looked for.
///
/// # Safety
/// `rsv` is a reservation, `map` null or valid for writes.
unsafe fn find(
    rsv: *mut Pmem2VmReservation,
    map: *mut *mut Pmem2Map,
    look: impl FnOnce(&Reservation) -> Outcome<Option<ReservedMap>>,
) -> c_int {
    let find = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::new(map)? };
        // SAFETY: the caller's promise.
        let rsv = unsafe { InUse::new(rsv)? };
        let found = registry::handle_of(|| look(rsv.get()?))?;
        let found = found.ok_or_else(|| {
            Failure::new(
                code::MAPPING_NOT_FOUND,
                "there is no such map in the reservation",
            )
        })?;
        out.put(found);
        Ok(())
    };
    number(find())
}

/// The first map of which any byte lies in the `len` bytes at `reserv_offset`; with `len` 0, the map that the
/// offset lies in. `pmem2_vm_reservation_map_find(3)`.
///
/// Returns 0 or `PMEM2_E_MAPPING_NOT_FOUND`; then `*map` is null.
///
/// # Safety
/// `rsv` is a reservation, `map` null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_vm_reservation_map_find(
    rsv: *mut Pmem2VmReservation,
    reserv_offset: usize,
    len: usize,
    map: *mut *mut Pmem2Map,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { find(rsv, map, |rsv| Ok(rsv.find(reserv_offset, len))) }
}

/// The map with the lowest address. `pmem2_vm_reservation_map_find_first(3)`.
///
/// Returns 0 or `PMEM2_E_MAPPING_NOT_FOUND`; then `*map` is null.
///
/// # Safety
/// `rsv` is a reservation, `map` null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_vm_reservation_map_find_first(
    rsv: *mut Pmem2VmReservation,
    map: *mut *mut Pmem2Map,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { find(rsv, map, |rsv| Ok(rsv.first())) }
}

/// The map with the highest address. `pmem2_vm_reservation_map_find_last(3)`.
///
/// Returns 0 or `PMEM2_E_MAPPING_NOT_FOUND`; then `*map` is null.
///
/// # Safety
/// `rsv` is a reservation, `map` null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_vm_reservation_map_find_last(
    rsv: *mut Pmem2VmReservation,
    map: *mut *mut Pmem2Map,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { find(rsv, map, |rsv| Ok(rsv.last())) }
}

/// Which neighbour of a map is looked for.
type Neighbour = fn(&Reservation, &ReservedMap) -> Option<ReservedMap>;

/// The neighbour of a map, if that is in the reservation.
fn neighbour(
    reservation: &Reservation,
    map: *const Pmem2Map,
    which: Neighbour,
) -> Outcome<Option<ReservedMap>> {
    // SAFETY: a map (the promise of the callers' callers) that is not deleted while the registry is locked.
    let map = unsafe { Handle::get(map)? };
    let reserved = map.reserved().filter(|map| reservation.contains(map));
    Ok(reserved.and_then(|map| which(reservation, map)))
}

/// The map behind `map`. `pmem2_vm_reservation_map_find_next(3)`.
///
/// Returns 0 or `PMEM2_E_MAPPING_NOT_FOUND`; then `*next_map` is null.
///
/// # Safety
/// `rsv` is a reservation, `map` a map, `next_map` null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_vm_reservation_map_find_next(
    rsv: *mut Pmem2VmReservation,
    map: *mut Pmem2Map,
    next_map: *mut *mut Pmem2Map,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { find(rsv, next_map, |rsv| neighbour(rsv, map, Reservation::next)) }
}

/// The map before `map`. `pmem2_vm_reservation_map_find_prev(3)`.
///
/// Returns 0 or `PMEM2_E_MAPPING_NOT_FOUND`; then `*prev_map` is null.
///
/// # Safety
/// `rsv` is a reservation, `map` a map, `prev_map` null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_vm_reservation_map_find_prev(
    rsv: *mut Pmem2VmReservation,
    map: *mut Pmem2Map,
    prev_map: *mut *mut Pmem2Map,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        find(rsv, prev_map, |rsv| {
            neighbour(rsv, map, Reservation::previous)
        })
    }
}
