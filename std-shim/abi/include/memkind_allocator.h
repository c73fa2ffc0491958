/*
 * An allocator for C++ containers in a static kind.
 *
 * The interface is that of memkind 1.14.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef MEMKIND_ALLOCATOR_H
#define MEMKIND_ALLOCATOR_H 1

#include <stdexcept>

#include "memkind_handle.h"

namespace libmemkind
{

/* The static kinds. */
enum class kinds {
	DEFAULT = 0,
	HUGETLB = 1,
	INTERLEAVE = 2,
	HBW = 3,
	HBW_ALL = 4,
	HBW_HUGETLB = 5,
	HBW_ALL_HUGETLB = 6,
	HBW_PREFERRED = 7,
	HBW_PREFERRED_HUGETLB = 8,
	HBW_INTERLEAVE = 9,
	REGULAR = 10,
	DAX_KMEM = 11,
	DAX_KMEM_ALL = 12,
	DAX_KMEM_PREFERRED = 13,
	DAX_KMEM_INTERLEAVE = 14,
	HIGHEST_CAPACITY = 15,
	HIGHEST_CAPACITY_PREFERRED = 16,
	HIGHEST_CAPACITY_LOCAL = 17,
	HIGHEST_CAPACITY_LOCAL_PREFERRED = 18,
	LOWEST_LATENCY_LOCAL = 19,
	LOWEST_LATENCY_LOCAL_PREFERRED = 20,
	HIGHEST_BANDWIDTH_LOCAL = 21,
	HIGHEST_BANDWIDTH_LOCAL_PREFERRED = 22
};

namespace static_kind
{
namespace internal
{

/* A static kind is always there: nothing is counted. */
class handle
{
public:
	explicit handle(libmemkind::kinds number) : kind(find(number))
	{
	}

	memkind_t get() const noexcept
	{
		return kind;
	}

private:
	static memkind_t find(libmemkind::kinds number)
	{
		switch (number) {
		case libmemkind::kinds::DEFAULT:
			return MEMKIND_DEFAULT;
		case libmemkind::kinds::HUGETLB:
			return MEMKIND_HUGETLB;
		case libmemkind::kinds::INTERLEAVE:
			return MEMKIND_INTERLEAVE;
		case libmemkind::kinds::HBW:
			return MEMKIND_HBW;
		case libmemkind::kinds::HBW_ALL:
			return MEMKIND_HBW_ALL;
		case libmemkind::kinds::HBW_HUGETLB:
			return MEMKIND_HBW_HUGETLB;
		case libmemkind::kinds::HBW_ALL_HUGETLB:
			return MEMKIND_HBW_ALL_HUGETLB;
		case libmemkind::kinds::HBW_PREFERRED:
			return MEMKIND_HBW_PREFERRED;
		case libmemkind::kinds::HBW_PREFERRED_HUGETLB:
			return MEMKIND_HBW_PREFERRED_HUGETLB;
		case libmemkind::kinds::HBW_INTERLEAVE:
			return MEMKIND_HBW_INTERLEAVE;
		case libmemkind::kinds::REGULAR:
			return MEMKIND_REGULAR;
		case libmemkind::kinds::DAX_KMEM:
			return MEMKIND_DAX_KMEM;
		case libmemkind::kinds::DAX_KMEM_ALL:
			return MEMKIND_DAX_KMEM_ALL;
		case libmemkind::kinds::DAX_KMEM_PREFERRED:
			return MEMKIND_DAX_KMEM_PREFERRED;
		case libmemkind::kinds::DAX_KMEM_INTERLEAVE:
			return MEMKIND_DAX_KMEM_INTERLEAVE;
		case libmemkind::kinds::HIGHEST_CAPACITY:
			return MEMKIND_HIGHEST_CAPACITY;
		case libmemkind::kinds::HIGHEST_CAPACITY_PREFERRED:
			return MEMKIND_HIGHEST_CAPACITY_PREFERRED;
		case libmemkind::kinds::HIGHEST_CAPACITY_LOCAL:
			return MEMKIND_HIGHEST_CAPACITY_LOCAL;
		case libmemkind::kinds::HIGHEST_CAPACITY_LOCAL_PREFERRED:
			return MEMKIND_HIGHEST_CAPACITY_LOCAL_PREFERRED;
		case libmemkind::kinds::LOWEST_LATENCY_LOCAL:
			return MEMKIND_LOWEST_LATENCY_LOCAL;
		case libmemkind::kinds::LOWEST_LATENCY_LOCAL_PREFERRED:
			return MEMKIND_LOWEST_LATENCY_LOCAL_PREFERRED;
		case libmemkind::kinds::HIGHEST_BANDWIDTH_LOCAL:
			return MEMKIND_HIGHEST_BANDWIDTH_LOCAL;
		case libmemkind::kinds::HIGHEST_BANDWIDTH_LOCAL_PREFERRED:
			return MEMKIND_HIGHEST_BANDWIDTH_LOCAL_PREFERRED;
		}
		throw std::runtime_error("Unknown libmemkind::kinds");
	}

	memkind_t kind;
};

} // namespace internal

template <typename T>
class allocator : public libmemkind::internal::kind_allocator<T, internal::handle>
{
	using base = libmemkind::internal::kind_allocator<T, internal::handle>;

public:
	template <class U> struct rebind {
		using other = allocator<U>;
	};

	/* Throws std::runtime_error if there is no such kind. */
	explicit allocator(libmemkind::kinds kind) : base(internal::handle(kind))
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

} // namespace static_kind
} // namespace libmemkind

#endif
