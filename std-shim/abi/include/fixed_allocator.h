/*
 * An allocator for C++ containers in memory of the program's.
 *
 * The interface is that of memkind 1.14.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef FIXED_ALLOCATOR_H
#define FIXED_ALLOCATOR_H 1

#include <cstddef>
#include <string>

#include "memkind_handle.h"

namespace libmemkind
{

namespace fixed
{

template <typename T> class allocator : public internal::kind_allocator<T, internal::kind_handle>
{
	using base = internal::kind_allocator<T, internal::kind_handle>;

public:
	template <class U> struct rebind {
		using other = allocator<U>;
	};

	/* Throws std::invalid_argument or std::runtime_error. */
	explicit allocator(void *addr, std::size_t size)
	    : base(internal::kind_handle(make(addr, size)))
	{
	}

	allocator(const allocator &) = default;
	allocator &operator=(const allocator &) = default;

	template <typename U>
	allocator(const allocator<U> &other) noexcept : base(other.get_handle())
	{
	}

	template <typename U> allocator &operator=(const allocator<U> &other) noexcept
	{
		return *this = allocator(other);
	}

private:
	static memkind_t make(void *addr, std::size_t size)
	{
		memkind_t kind = nullptr;
		internal::check(memkind_create_fixed(addr, size, &kind), "fixed");
		return kind;
	}
};

/* Allocators are equal if they have the same kind. */
template <typename U, typename V> bool operator==(const allocator<U> &a, const allocator<V> &b)
{
	return a.get_handle().get() == b.get_handle().get();
}

template <typename U, typename V> bool operator!=(const allocator<U> &a, const allocator<V> &b)
{
	return !(a == b);
}

} // namespace fixed
} // namespace libmemkind

#endif
