// Reading a tensor row by row, and in pieces.
#ifndef HEED_TESTS_CHECKPOINT_ROW_RANGES_H_
#define HEED_TESTS_CHECKPOINT_ROW_RANGES_H_

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "model/checkpoint/checkpoint.h"
#include "tests/checkpoint/status_matchers.h"

namespace heed {

// Reads every range of rows, as f32 and as they are stored, and some that there are not.
inline void ExpectAnyRowsAreThoseOfTheWhole(const Checkpoint& checkpoint, const std::string& name) {
  SCOPED_TRACE(name);
  ASSERT_NE(checkpoint.Find(name), nullptr);
  const std::vector<int64_t> shape = checkpoint.Find(name)->shape;
  const int64_t rows = shape.front(), width = shape.size() > 1 ? shape[1] : 1;
  std::vector<float> whole(static_cast<size_t>(rows * width)), part;
  ASSERT_THAT(checkpoint.ReadF32(name, shape, absl::MakeSpan(whole)), IsOk());
  std::vector<char> stored(sizeof(float) * whole.size()), stored_part;
  ASSERT_THAT(checkpoint.ReadStoredRows(name, RowRange::All(shape), absl::MakeSpan(stored)),
              IsOk());
  for (int64_t first = 0; first <= rows; ++first) {
    for (int64_t count = 0; first + count <= rows; ++count) {
      const size_t begin = static_cast<size_t>(first * width);
      part.assign(static_cast<size_t>(count * width), -1);
      ASSERT_THAT(checkpoint.ReadRows(name, shape, {first, count}, absl::MakeSpan(part)), IsOk());
      ASSERT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + begin))
          << first << ", " << count;
      stored_part.assign(sizeof(float) * part.size(), 0);
      ASSERT_THAT(checkpoint.ReadStoredRows(name, {first, count}, absl::MakeSpan(stored_part)),
                  IsOk());
      ASSERT_TRUE(std::equal(stored_part.begin(), stored_part.end(),
                             stored.begin() + sizeof(float) * begin));
    }
  }
  part.resize(static_cast<size_t>(2 * width));
  for (const int64_t first : {int64_t{-1}, rows - 1, rows, INT64_MAX}) {
    EXPECT_THAT(checkpoint.ReadRows(name, shape, {first, 2}, absl::MakeSpan(part)),
                IsError(kInvalid, "there are no 2 from row "));
  }
  EXPECT_THAT(checkpoint.ReadRows(name, shape, {0, -1}, absl::MakeSpan(part)),
              IsError(kInvalid, "there are no -1 from row 0"));
}

}  // namespace heed

#endif  // HEED_TESTS_CHECKPOINT_ROW_RANGES_H_
