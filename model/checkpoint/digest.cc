#include "model/checkpoint/digest.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/sha256.h"

namespace heed {
namespace {

// Few enough that they stay in a core's cache between being read and hashed.
constexpr int64_t kChunkBytes = int64_t{256} << 10;

absl::Status AddFile(const File& file, absl::Span<char> buffer, Sha256& sha256) {
  sha256.Update(absl::StrCat(file.name(), absl::string_view("\0", 1), file.size(),
                             absl::string_view("\0", 1)));
  for (int64_t offset = 0; offset < file.size(); offset += kChunkBytes) {
    const auto size = static_cast<size_t>(std::min(kChunkBytes, file.size() - offset));
    const absl::Span<char> chunk = buffer.subspan(0, size);
    HEED_RETURN_IF_ERROR(file.Read(offset, chunk));
    sha256.Update({chunk.data(), chunk.size()});
  }
  return file.CheckUnchanged();
}

}  // namespace

absl::StatusOr<std::string> DigestFiles(std::vector<const File*> files) {
  std::sort(files.begin(), files.end(),
            [](const File* a, const File* b) { return a->name() < b->name(); });
  Sha256 sha256;
  std::string buffer(static_cast<size_t>(kChunkBytes), '\0');
  for (const File* file : files) {
    HEED_RETURN_IF_ERROR(AddFile(*file, absl::MakeSpan(buffer), sha256));
  }
  const std::string digits = sha256.Finish();
  if (digits.empty()) return absl::InternalError("the crypto library cannot compute SHA-256");
  return absl::StrCat("sha256:", digits);
}

}  // namespace heed
