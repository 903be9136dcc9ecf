// What tests of readied memory are built upon: turned round, it would make them skip.
#include "tests/base/populates.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>

#include "gtest/gtest.h"

namespace heed {
namespace {

TEST(PopulatesTest, APageIsResidentOnceItIsWritten) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* memory =
      mmap(nullptr, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  char* const bytes = static_cast<char*>(memory);
  EXPECT_FALSE(IsResident(bytes + page));
  bytes[page + 7] = 1;
  EXPECT_TRUE(IsResident(bytes + page));
  EXPECT_TRUE(IsResident(bytes + 2 * page - 1));  // by any address in it
  EXPECT_FALSE(IsResident(bytes + page - 1));
  EXPECT_FALSE(IsResident(bytes + 2 * page));
  munmap(memory, 3 * page);
}

}  // namespace
}  // namespace heed
