//! The functions of the C library behind ours.
#![expect(unsafe_code, reason = "a symbol that is looked up by name has no type")]

/// The function of this name that comes after ours, as a function of the given type.
///
/// Sound as long as the type is that of the function in the C library; each is taken from the
/// prototypes of the `libc` crate or the manual page. The look-up is done once a call site. The
/// process is stopped when there is no such function, which would mean another C library.
macro_rules! real {
    ($name:expr, $type:ty) => {{
        static FOUND: std::sync::atomic::AtomicPtr<libc::c_void> =
            std::sync::atomic::AtomicPtr::new(std::ptr::null_mut());
        let mut found = FOUND.load(std::sync::atomic::Ordering::Acquire);
        if found.is_null() {
            found = $crate::real::look_up($name);
            FOUND.store(found, std::sync::atomic::Ordering::Release);
        }
        // SAFETY: not null, and a function of this type, as above.
        unsafe { std::mem::transmute::<*mut libc::c_void, $type>(found) }
    }};
}
pub(crate) use real;

/// The address of the function of this name that comes after ours; never null.
pub(crate) fn look_up(name: &std::ffi::CStr) -> *mut libc::c_void {
    // SAFETY: the name is a string that ends with a zero, and `RTLD_NEXT` a valid handle.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    if found.is_null() {
        std::process::abort();
    }
    found
}

/// The error number of the last call that failed.
pub(crate) fn errno() -> i32 {
    // SAFETY: the C library gives each thread a valid place for its error number.
    unsafe { *libc::__errno_location() }
}

/// Sets what [`errno`] gives.
pub(crate) fn set_errno(number: i32) {
    // SAFETY: as in `errno`; no reference to the place is held anywhere.
    unsafe { *libc::__errno_location() = number }
}
