// The edge at which exceptions of the standard library end: what runs inside comes back as a
// status.
#ifndef HEED_SERVER_ENGINE_CATCH_EXCEPTIONS_H_
#define HEED_SERVER_ENGINE_CATCH_EXCEPTIONS_H_

#include <exception>
#include <new>
#include <string>

#include "absl/status/status.h"
#include "model/base/error.h"

namespace heed {

// Runs `work`, which returns absl::Status or absl::StatusOr. std::bad_alloc becomes
// RESOURCE_EXHAUSTED (OUT_OF_MEMORY), any other exception INTERNAL (UNEXPECTED_EXCEPTION).
template <typename Work>
auto CatchExceptions(Work&& work) -> decltype(work()) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return MakeError(absl::StatusCode::kResourceExhausted, "OUT_OF_MEMORY",
                     "the server has too little memory for this; try a smaller request, or later");
  } catch (const std::exception& e) {
    return MakeError(absl::StatusCode::kInternal, "UNEXPECTED_EXCEPTION",
                     std::string("unexpected exception: ") + e.what());
  } catch (...) {
    return MakeError(absl::StatusCode::kInternal, "UNEXPECTED_EXCEPTION", "unknown exception");
  }
}

}  // namespace heed

#endif  // HEED_SERVER_ENGINE_CATCH_EXCEPTIONS_H_
