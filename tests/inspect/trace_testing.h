// Traces of golden models, for the tests of reads.
#ifndef HEED_TESTS_INSPECT_TRACE_TESTING_H_
#define HEED_TESTS_INSPECT_TRACE_TESTING_H_

#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "model/inspect/trace.h"
#include "tests/transformer/model_testing.h"

namespace heed {

inline constexpr SiteSet kEverySite = {Site::kResidual, Site::kResidualMid, Site::kAttentionOut,
                                       Site::kMlpOut, Site::kMixed};

// The trace of one call with all of `ids`. Sites that the model lacks are left out of `sites`.
inline std::shared_ptr<const Trace> TraceOf(const LanguageModel& model,
                                            const std::vector<TokenId>& ids, SiteSet sites,
                                            std::shared_ptr<ForwardEditor> editor = nullptr) {
  SiteSet kept;
  for (Site site : kAllSites) {
    if (sites.Has(site) && HasSite(model.config(), site)) kept.Add(site);
  }
  auto recorder = TraceRecorder::Create(model.config(), kept, static_cast<int64_t>(ids.size()));
  EXPECT_TRUE(recorder.ok()) << recorder.status();
  if (!recorder.ok()) return nullptr;
  Runner(&model, recorder->get(), editor.get()).Append(ids);
  return (*recorder)->Finish(ids, std::move(editor));
}

// 0, 1, ... n - 1.
template <typename T = int64_t>
std::vector<T> FirstOf(int64_t n) {
  std::vector<T> all(n);
  std::iota(all.begin(), all.end(), T{0});
  return all;
}

}  // namespace heed

#endif  // HEED_TESTS_INSPECT_TRACE_TESTING_H_
