#include "client/cli/base/npy.h"

#include <bit>

#include "absl/strings/str_cat.h"

namespace heed::cli {
namespace {

static_assert(std::endian::native == std::endian::little, "the files are little-endian");

}  // namespace

std::string NpyHeader(absl::Span<const int64_t> shape) {
  std::string dict = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
  for (int64_t size : shape) absl::StrAppend(&dict, size, ", ");
  dict += "), }";
  constexpr size_t kPrefixBytes = 10;  // magic, version, and the dictionary's length in two bytes
  const size_t unpadded = kPrefixBytes + dict.size() + 1;
  dict.append((64 - unpadded % 64) % 64, ' ');
  dict += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(dict.size() & 0xFF);
  header += static_cast<char>(dict.size() >> 8);
  return header + dict;
}

absl::Status WriteNpy(std::ostream& out, absl::Span<const int64_t> shape,
                      absl::Span<const float> values) {
  out << NpyHeader(shape);
  out.write(reinterpret_cast<const char*>(values.data()),
            static_cast<std::streamsize>(values.size() * sizeof(float)));
  out.flush();
  return out ? absl::OkStatus() : absl::DataLossError("the array could not be written whole");
}

}  // namespace heed::cli
