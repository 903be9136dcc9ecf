#include "client/cli/base/npy.h"

#include <cstring>
#include <sstream>
#include <vector>

#include "gtest/gtest.h"

namespace heed::cli {
namespace {

TEST(NpyTest, HeaderIsTheFormatByByte) {
  const std::string header = NpyHeader({2, 3});
  EXPECT_EQ(header.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  const size_t length = static_cast<uint8_t>(header[8]) + 256 * static_cast<uint8_t>(header[9]);
  EXPECT_EQ(header.size(), 10 + length);
  EXPECT_EQ(header.size() % 64, 0u);
  EXPECT_EQ(header.back(), '\n');
  EXPECT_EQ(header.substr(10, 60), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, ), ");
}

TEST(NpyTest, HeaderIsAlignedForEveryRank) {
  std::vector<int64_t> shape;
  for (int rank = 0; rank < 12; ++rank) {
    EXPECT_EQ(NpyHeader(shape).size() % 64, 0u) << rank;
    shape.push_back(123456789);
  }
}

TEST(NpyTest, DataFollowsAsItIs) {
  std::ostringstream out;
  const std::vector<float> values = {1.5F, -2, 0};
  ASSERT_TRUE(WriteNpy(out, {3}, values).ok());
  const std::string bytes = out.str();
  ASSERT_EQ(bytes.size(), NpyHeader({3}).size() + 12);
  float last[3];
  std::memcpy(last, bytes.data() + bytes.size() - 12, 12);
  EXPECT_EQ(std::vector<float>(last, last + 3), values);
}

TEST(NpyTest, AFullDiskIsAnError) {
  std::ostringstream out;
  out.setstate(std::ios::badbit);
  EXPECT_TRUE(absl::IsDataLoss(WriteNpy(out, {1}, {1.0F})));
}

}  // namespace
}  // namespace heed::cli
